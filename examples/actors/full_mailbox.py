"""What a sender can do about a full mailbox."""

import trio

from actors import MailboxFull, TrioActor, open_actor_system


class Painter(TrioActor[str, None]):
    mailbox_size_max = 2

    async def on_receive(self, message: str) -> None:
        print("paints", message)
        await trio.sleep(0.01)


async def main() -> None:
    async with open_actor_system() as system:
        painter = await system.spawn(Painter, name="painter")
        painter.tell("red")
        painter.tell("green")
        try:
            painter.tell("blue")
        except MailboxFull:
            print("no room for blue")
        painter.tell("white", on_full="drop_oldest")
        await painter.atell("black")
        await painter.stop(block=False)
        counts = painter.statistics().mailbox
        print(f"refused {counts.refused}, dropped {counts.dropped}, waited {counts.waited}")


trio.run(main)
