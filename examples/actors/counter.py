"""An actor, told and asked."""

from dataclasses import dataclass

import trio

from actors import TrioActor, open_actor_system


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Get:
    pass


class Counter(TrioActor[Add | Get, int]):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def on_receive(self, message: Add | Get) -> int:
        match message:
            case Add(amount):
                self.count += amount
            case Get():
                pass
        return self.count


async def main() -> None:
    async with open_actor_system() as system:
        counter = await system.spawn(Counter, name="counter")
        counter.tell(Add(1))
        counter.tell(Add(2))
        print(await counter.aask(Get(), timeout_s=1))


trio.run(main)
