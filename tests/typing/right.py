"""What both type checkers must infer. Checked, never run."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, assert_type

from actors import (
    ActorSystem,
    ChildSpec,
    Ref,
    Registry,
    Supervisor,
    TrioActor,
    TrioActorRef,
    TrioFuture,
)


@dataclass(frozen=True, slots=True)
class Add:
    """Add this much."""

    amount: int


@dataclass(frozen=True, slots=True)
class Get:
    """Tell the count."""


@dataclass(frozen=True, slots=True)
class _Tick:
    """A message of its own."""


class Counter(TrioActor[Add | Get, int]):
    """An actor with typed messages, told apart by `match`."""

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.count = start

    async def on_start(self) -> None:
        self.timers.start("tick", 1, _Tick(), every=True)
        assert_type(self.actor_ref, TrioActorRef[Add | Get, int])

    async def on_receive(self, message: Add | Get) -> int:
        match message:
            case Add(amount):
                self.count += amount
            case Get():
                self.stash(message)
        return self.count


class Loose(TrioActor):
    """An actor without parameters takes and replies anything."""

    async def on_receive(self, message: str) -> bytes:
        return message.encode()


async def spawned(system: ActorSystem, supervisor: Supervisor) -> None:
    """A ref knows its messages and its reply, however the actor was started."""
    assert_type(await system.spawn(Counter, name="a"), TrioActorRef[Add | Get, int])
    assert_type(await supervisor.spawn(lambda: Counter(1), name="b"), Ref[Add | Get, int])
    spec = ChildSpec("c", Counter)
    assert_type(spec, ChildSpec[Add | Get, int])
    assert_type(await supervisor.start_child(spec), Ref[Add | Get, int])
    assert_type(await supervisor.get_or_start(spec), Ref[Add | Get, int])
    assert_type(system.child("a"), TrioActorRef[Any, Any] | None)


async def asked(ref: Ref[Add | Get, int]) -> None:
    """Every form of an ask has the reply's type."""
    ref.tell(Add(1))
    ref.tell(Get(), on_full="drop_oldest")
    await ref.atell(Add(1))
    assert_type(await ref.aask(Get()), int)
    assert_type(await ref.aask(Get(), timeout_s=1), int)
    assert_type(ref.ask(Get()), int)
    future = ref.ask(Get(), block=False)
    assert_type(future, TrioFuture[int])
    assert_type(await future, int)
    assert_type(ref.stop(), bool)
    assert_type(ref.stop(block=False), TrioFuture[bool])
    assert_type(await ref.astop(), BaseException | None)


async def by_key(registry: Registry[str]) -> None:
    """A registry infers them from the factory."""
    assert_type(await registry.ask("k", Counter, Get()), int)
    assert_type(await registry.get_or_activate("k", Counter), Ref[Add | Get, int])
    await registry.tell("k", Counter, Add(1))


async def variance(ref: Ref[Add | Get, bool]) -> Awaitable[object]:
    """Who takes more may stand for who takes less; who replies something narrower for something wider."""
    narrow: Ref[Add, int] = ref
    return narrow.aask(Add(1))


async def loose(system: ActorSystem) -> None:
    """Without parameters everything goes."""
    ref = await system.spawn(Loose, name="loose")
    assert_type(ref, TrioActorRef[Any, Any])
    plain: TrioActorRef = ref
    plain.tell(object())
    assert_type(await plain.aask(1), Any)
