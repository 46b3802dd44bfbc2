"""Watching one actor, and watching all of them."""

from typing import Any

import trio

from actors import TrioActor, TrioActorRef, open_actor_system


class Printer:
    """An observer: told of every start, stop, restart and message in the system."""

    def started(self, ref: TrioActorRef[Any, Any]) -> None:
        print("started", ref.name)

    def stopped(self, ref: TrioActorRef[Any, Any], reason: BaseException | None) -> None:
        print("stopped", ref.name, repr(reason))

    def restarted(self, name: str, restarts: int) -> None:
        print("restarted", name, restarts)

    def handled(self, ref: TrioActorRef[Any, Any], message: object, took_s: float) -> None:
        assert took_s >= 0
        print("handled", ref.name, message)


class Glass(TrioActor[str, None]):
    async def on_receive(self, message: str) -> None:
        if message == "hammer":
            raise ValueError("broken")


async def main() -> None:
    async with open_actor_system(observer=Printer()) as system:
        glass = await system.spawn(Glass, name="glass", restart="temporary")
        glass.monitor(lambda ref, reason: print("heard of the end of", ref.name, repr(reason)))
        glass.tell("feather")
        glass.tell("hammer")
        await glass.wait_stopped()


trio.run(main)
