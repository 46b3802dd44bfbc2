"""What both type checkers must refuse: exactly the lines marked as errors. Checked, never run."""

from __future__ import annotations

from actors import ActorSystem, Ref, Registry, TrioActor
from tests.typing.right import Add, Counter, Get


async def send(ref: Ref[Add | Get, int]) -> None:
    """Messages the actor does not take, and replies of another type."""
    ref.tell("add")  # error
    ref.tell(Add)  # error
    ref.tell(Add(1), on_full="wait")  # error
    await ref.atell(1)  # error
    await ref.aask(b"get")  # error
    text: str = await ref.aask(Get())  # error
    await ref.atell(Add(len(text)))


async def start(system: ActorSystem, registry: Registry[str]) -> None:
    """The same through whatever starts actors."""
    ref = await system.spawn(Counter, name="a")
    ref.tell("add")  # error
    await registry.ask(1, Counter, Get())  # error
    await registry.tell("k", Counter, "add")  # error
    await system.spawn(Counter(), name="b")  # error
    wider: Ref[Add | Get | str, int] = ref  # error
    narrower: Ref[Add, bool] = ref  # error
    await wider.atell(Add(await narrower.aask(Add(1))))


class Mute(TrioActor[Add | Get, int]):
    """Takes less than it says."""

    async def on_receive(self, message: Add) -> int:  # error
        return message.amount


class Liar(TrioActor[Add, int]):
    """Replies something else than it says."""

    async def on_receive(self, message: Add) -> str:  # error
        return str(message.amount)
