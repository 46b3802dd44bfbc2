"""Two actors that ask each other: a deadline ends it, telling avoids it."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from actors import AskTimeout, Ref, TrioActor, open_actor_system


@dataclass(frozen=True)
class Lunch:
    """Where do you want to eat?"""

    friend: Ref[Lunch, str]


class Polite(TrioActor[Lunch, str]):
    """Asks the other one before it answers. That one does the same."""

    async def on_receive(self, message: Lunch) -> str:
        try:
            return await message.friend.aask(Lunch(self.actor_ref), timeout_s=0.05)
        except AskTimeout:
            return "the usual place, nobody answered me"


@dataclass(frozen=True)
class Invite:
    reply_to: Ref[Place, None]


@dataclass(frozen=True)
class Place:
    name: str


class Friend(TrioActor[Invite, None]):
    """Answers with a message of its own and waits for nobody."""

    async def on_receive(self, message: Invite) -> None:
        message.reply_to.tell(Place("the harbour"))


class Host(TrioActor[Place, None]):
    async def on_receive(self, message: Place) -> None:
        print("going to", message.name)
        self.stop()


async def main() -> None:
    async with open_actor_system() as system:
        ada = await system.spawn(Polite, name="ada")
        ben = await system.spawn(Polite, name="ben")
        print(await ada.aask(Lunch(ben), timeout_s=1))

        host = await system.spawn(Host, name="host", restart="transient")
        friend = await system.spawn(Friend, name="friend")
        friend.tell(Invite(host))
        await host.wait_stopped()


trio.run(main)
