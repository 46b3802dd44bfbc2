"""Work that takes long, beside a mailbox that stays open."""

import time
from dataclasses import dataclass

import trio

from actors import TrioActor, open_actor_system


@dataclass(frozen=True)
class Count:
    path: str


@dataclass(frozen=True)
class Counted:
    path: str
    words: int


@dataclass(frozen=True)
class Ping:
    pass


def count_words(path: str) -> int:
    """Blocks its thread, as reading and number crunching do."""
    time.sleep(0.3)
    return len(path.split("/"))


class WordCounter(TrioActor[Count | Counted | Ping, str]):
    async def on_receive(self, message: Count | Counted | Ping) -> str:
        match message:
            case Count(path):
                self.start_soon(self.count, path)
                return "begun"
            case Counted(path, words):
                print(f"{path}: {words}")
                self.stop()
                return "noted"
            case Ping():
                return "pong"

    async def count(self, path: str) -> None:
        words = await trio.to_thread.run_sync(count_words, path)
        self.actor_ref.tell_system(Counted(path, words))


async def main() -> None:
    async with open_actor_system() as system:
        counter = await system.spawn(WordCounter, name="counter", restart="transient")
        counter.tell(Count("a/b"))
        print(await counter.aask(Ping(), timeout_s=5))
        await counter.wait_stopped()


trio.run(main)
