"""Named timers."""

from dataclasses import dataclass

import trio

from actors import TrioActor, open_actor_system


@dataclass(frozen=True)
class Beat:
    pass


@dataclass(frozen=True)
class TooQuiet:
    pass


@dataclass(frozen=True)
class Sound:
    pass


class Listener(TrioActor[Beat | TooQuiet | Sound, None]):
    async def on_start(self) -> None:
        self.timers.start("beat", 0.02, Beat(), every=True)
        self.timers.start("quiet", 0.03, TooQuiet())

    async def on_receive(self, message: Beat | TooQuiet | Sound) -> None:
        match message:
            case Beat():
                print("beat")
            case Sound():
                self.timers.start("quiet", 0.03, TooQuiet())
            case TooQuiet():
                self.timers.cancel("beat")
                print("too quiet; still beating:", "beat" in self.timers)
                self.stop()


async def main() -> None:
    async with open_actor_system() as system:
        listener = await system.spawn(Listener, name="listener", restart="transient")
        await trio.sleep(0.025)
        listener.tell(Sound())
        await listener.wait_stopped()


trio.run(main)
