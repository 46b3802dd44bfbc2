"""A failure, a restart, and what a ref means."""

from dataclasses import dataclass

import trio

from actors import TrioActor, open_actor_system


@dataclass(frozen=True)
class Bake:
    minutes: int


class Oven(TrioActor[Bake, int]):
    def __init__(self) -> None:
        super().__init__()
        self.baked = 0

    async def on_receive(self, message: Bake) -> int:
        if message.minutes > 60:
            raise RuntimeError("on fire")
        self.baked += 1
        return self.baked


async def main() -> None:
    async with open_actor_system() as system:
        oven = await system.spawn(Oven, name="oven")
        print("baked", await oven.aask(Bake(30), timeout_s=1))
        oven.tell(Bake(90))
        print("ended:", repr(await oven.wait_stopped()))
        successor = await system.wait_child("oven")
        assert successor is not None
        print("the old ref is alive:", oven.is_alive())
        print("baked", await successor.aask(Bake(30), timeout_s=1))
        print("restarts:", system.statistics().restarts)


trio.run(main)
