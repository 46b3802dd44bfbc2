"""What a sender may choose when the mailbox is full."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from actors import (
    ActorDeadError,
    MailboxFull,
    Registry,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)


class Slow(TrioActor):
    """Holds until released; then keeps what it is told."""

    mailbox_size_max = 2

    def __init__(self) -> None:
        super().__init__()
        self.release = trio.Event()
        self.seen: list[Any] = []

    async def on_receive(self, message: Any) -> Any:
        await self.release.wait()
        self.seen.append(message)
        return message


async def busy(system: Any, actor: Slow) -> TrioActorRef:
    """A ref of the actor, which has one message in hand and a full mailbox."""
    ref: TrioActorRef = await system.spawn(lambda: actor, name="slow", restart="temporary")
    ref.tell("in hand")
    await trio.testing.wait_all_tasks_blocked()
    ref.tell("a")
    ref.tell("b")
    return ref


async def test_drop_oldest_makes_room_at_the_cost_of_the_oldest_message() -> None:
    actor = Slow()
    async with open_actor_system() as system:
        ref = await busy(system, actor)
        ref.tell("c", on_full="drop_oldest")
        ref.tell("d", on_full="drop_oldest")
        counts = ref.statistics().mailbox
        assert (counts.user_queued, counts.dropped, counts.accepted) == (2, 2, 5)
        actor.release.set()
        await ref.stop(block=False)
    assert actor.seen == ["in hand", "c", "d"]


async def test_drop_oldest_drops_nothing_while_there_is_room() -> None:
    actor = Slow()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="slow", restart="temporary")
        actor.release.set()
        ref.tell("a", on_full="drop_oldest")
        await ref.stop(block=False)
        assert ref.statistics().mailbox.dropped == 0
    assert actor.seen == ["a"]


async def test_an_ask_that_is_dropped_is_answered_with_mailbox_full() -> None:
    actor = Slow()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="slow", restart="temporary")
        ref.tell("in hand")
        await trio.testing.wait_all_tasks_blocked()
        oldest = ref.ask("asked", block=False)
        ref.tell("b")
        ref.tell("c", on_full="drop_oldest")
        with pytest.raises(MailboxFull, match="dropped from the full mailbox of actor 'slow'"):
            await oldest
        actor.release.set()


async def test_a_message_sent_through_a_registry_can_be_dropped_too() -> None:
    actor = Slow()
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system, shutdown_s=0.1)
        await registry.tell("k", lambda: actor, "in hand")
        await trio.testing.wait_all_tasks_blocked()
        for message in ("a", "b"):
            await registry.tell("k", lambda: actor, message)
        ref = registry.get("k")
        assert ref is not None
        ref.tell("c", on_full="drop_oldest")
        actor.release.set()
        await ref.stop(block=False)
    assert actor.seen == ["in hand", "b", "c"]


async def test_waited_refused_and_dropped_are_counted_apart() -> None:
    actor = Slow()
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await busy(system, actor)
        nursery.start_soon(ref.atell, "waits")
        await trio.testing.wait_all_tasks_blocked()
        for choice in (None, "fail"):
            with pytest.raises(MailboxFull):
                ref.tell("refused", on_full=choice)
        ref.tell("c", on_full="drop_oldest")
        counts = ref.statistics().mailbox
        assert (counts.waited, counts.refused, counts.dropped) == (1, 2, 1)
        actor.release.set()
        await trio.testing.wait_all_tasks_blocked()
    assert actor.seen == ["in hand", "b", "c", "waits"]


async def test_a_dead_actor_drops_nothing() -> None:
    actor = Slow()
    async with open_actor_system() as system:
        ref = await busy(system, actor)
        stopped = ref.stop(block=False)
        with pytest.raises(ActorDeadError):
            ref.tell("too late", on_full="drop_oldest")
        assert ref.statistics().mailbox.dropped == 0
        actor.release.set()
        await stopped


async def test_an_unknown_choice_is_refused() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Slow, name="slow")
        with pytest.raises(ValueError, match="on_full must be one of fail, drop_oldest"):
            ref.tell("a", on_full="drop_newest")  # type: ignore[arg-type]


async def test_a_thread_has_the_same_choice() -> None:
    actor = Slow()

    def send(ref: TrioActorRef) -> None:
        with pytest.raises(MailboxFull):
            ref.tell("refused", on_full="fail")
        ref.tell("c", on_full="drop_oldest")

    async with open_actor_system() as system:
        ref = await busy(system, actor)
        await trio.to_thread.run_sync(send, ref)
        actor.release.set()
        await ref.stop(block=False)
    assert actor.seen == ["in hand", "b", "c"]
