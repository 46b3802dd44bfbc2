"""Two full mailboxes: waiting for room in a circle, and what to do instead."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from actors import MailboxFull, Ref, TrioActor, open_actor_system


@dataclass(frozen=True)
class Ball:
    back_to: Ref[Ball, None]


class Waits(TrioActor[Ball, None]):
    """Returns two balls for each, and waits for room: two of these fill each other and stop."""

    mailbox_size_max = 3

    async def on_receive(self, message: Ball) -> None:
        for _ in range(2):
            await message.back_to.atell(Ball(self.actor_ref))


class Drops(Waits):
    """Returns two balls for each as long as there is room, and counts the others."""

    dropped = 0

    async def on_receive(self, message: Ball) -> None:
        await trio.sleep(0.01)
        for _ in range(2):
            try:
                message.back_to.tell(Ball(self.actor_ref))
            except MailboxFull:
                Drops.dropped += 1


def is_stuck(*players: Ref[Ball, None]) -> bool:
    """Whether each of them waits for room in another's mailbox."""
    return all(player.statistics().mailbox.senders_waiting for player in players)


async def play(player: type[Waits]) -> None:
    async with open_actor_system() as system:
        left = await system.spawn(player, name="left", shutdown_s=0.1)
        right = await system.spawn(player, name="right", shutdown_s=0.1)
        left.tell(Ball(right))
        with trio.fail_after(10):
            while not (is_stuck(left, right) or Drops.dropped):
                await trio.sleep(0.01)
        print(f"{player.__name__}: stuck {is_stuck(left, right)}")


async def main() -> None:
    await play(Waits)
    await play(Drops)


trio.run(main)
