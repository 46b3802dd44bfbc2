"""A trio server that keeps its state in an actor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import trio

from actors import Ref, TrioActor, open_actor_system


@dataclass(frozen=True)
class Seen:
    """Somebody called; the reply says how many there were before."""

    greeting: str


class GuestBook(TrioActor[Seen, int]):
    def __init__(self) -> None:
        super().__init__()
        self.greetings: list[str] = []

    async def on_receive(self, message: Seen) -> int:
        self.greetings.append(message.greeting)
        return len(self.greetings) - 1


async def answer(book: Ref[Seen, int], stream: trio.SocketStream) -> None:
    async with stream:
        greeting = (await stream.receive_some()).decode().strip()
        before = await book.aask(Seen(greeting), timeout_s=1)
        await stream.send_all(f"{greeting}, there were {before} before you\n".encode())


async def call(port: int, greeting: str) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(greeting.encode())
        print((await stream.receive_some()).decode(), end="")


async def main() -> None:
    async with (
        open_actor_system(shutdown_s=5) as system,
        trio.open_nursery() as nursery,
    ):
        book = await system.spawn(GuestBook, name="guest book")
        serve = partial(trio.serve_tcp, partial(answer, book), 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        port = listener.socket.getsockname()[1]
        await call(port, "Ada")
        await call(port, "Ben")
        nursery.cancel_scope.cancel()


trio.run(main)
