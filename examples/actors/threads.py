"""The same actor, used from a thread."""

import trio

from actors import BlockingCallInLoop, TrioActor, TrioActorRef, open_actor_system


class Doubler(TrioActor[int, int]):
    async def on_receive(self, message: int) -> int:
        return 2 * message


def in_a_thread(doubler: TrioActorRef[int, int]) -> int:
    return doubler.ask(21, timeout=1)


async def main() -> None:
    async with open_actor_system() as system:
        doubler = await system.spawn(Doubler, name="doubler")
        print(await trio.to_thread.run_sync(in_a_thread, doubler))
        try:
            doubler.ask(21)
        except BlockingCallInLoop as error:
            print(error)


trio.run(main)
