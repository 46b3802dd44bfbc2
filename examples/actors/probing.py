"""A test with a probe, in virtual time: it waits a day and takes a moment."""

from __future__ import annotations

from dataclasses import dataclass

import trio
from trio.testing import MockClock

from actors import Ref, TrioActor, open_actor_system
from actors.testing import Probe

DAY_S = 86_400.0


@dataclass(frozen=True)
class Remind:
    what: str
    after_s: float


@dataclass(frozen=True)
class Reminder:
    what: str


class Calendar(TrioActor[Remind | Reminder, None]):
    """The actor under test."""

    def __init__(self, owner: Ref[Reminder, None]) -> None:
        super().__init__()
        self.owner = owner

    async def on_receive(self, message: Remind | Reminder) -> None:
        match message:
            case Remind(what, after_s):
                self.timers.start(what, after_s, Reminder(what))
            case Reminder():
                self.owner.tell(message)


async def test_a_reminder_comes_on_its_day_and_not_before() -> None:
    async with open_actor_system() as system:
        owner = await Probe.spawn(system, name="owner")
        calendar = await system.spawn(lambda: Calendar(owner.ref), name="calendar")
        calendar.tell(Remind("dentist", after_s=DAY_S))
        await owner.expect_nothing(within_s=DAY_S - 1)
        assert await owner.expect(Reminder, within_s=2) == Reminder("dentist")
        await owner.expect_nothing(within_s=7 * DAY_S)


trio.run(test_a_reminder_comes_on_its_day_and_not_before, clock=MockClock(autojump_threshold=0))
