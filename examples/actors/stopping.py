"""Cancelled from outside, stopped in order."""

from functools import partial

import trio

from actors import TrioActor, open_actor_system


class Part(TrioActor[str, None]):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    async def on_start(self) -> None:
        print(self.what, "starts")

    async def on_stop(self) -> None:
        await trio.sleep(0.01)
        print(self.what, "stops")


async def main() -> None:
    with trio.move_on_after(0.05) as scope:
        async with open_actor_system(shutdown_s=5) as system:
            for what in ("store", "workers", "front"):
                await system.spawn(partial(Part, what), name=what, shutdown_s=1)
            await trio.sleep_forever()
    print("cancelled:", scope.cancelled_caught)


trio.run(main)
