"""Messages that come too early."""

from dataclasses import dataclass

import trio

from actors import TrioActor, open_actor_system


@dataclass(frozen=True)
class Connected:
    greeting: str


@dataclass(frozen=True)
class Send:
    text: str


class Line(TrioActor[Connected | Send, str]):
    stash_size_max = 10

    def __init__(self) -> None:
        super().__init__()
        self.greeting = ""

    async def on_start(self) -> None:
        self.start_soon(self.connect)

    async def connect(self) -> None:
        await trio.sleep(0.02)
        self.actor_ref.tell_system(Connected("hello"))

    async def on_receive(self, message: Connected | Send) -> str:
        match message:
            case Connected(greeting):
                self.greeting = greeting
                self.unstash_all()
            case Send() if not self.greeting:
                self.stash(message)
            case Send(text):
                print(self.greeting, text)
        return "sent"


async def main() -> None:
    async with open_actor_system() as system:
        line = await system.spawn(Line, name="line")
        line.tell(Send("Ada"))
        print(await line.aask(Send("Ben"), timeout_s=1))


trio.run(main)
