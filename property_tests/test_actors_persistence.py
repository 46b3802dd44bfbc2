"""Event-sourced actors on a bad day: thousands of simulated programs, each with its own faults and crashes.

I-J3 `batch_atomic`, I-J4 `ack_implies_durable`, I-J9 `unknown_is_terminal`, I-J10 `rejected_leaves_nothing`, I-J11
`snapshot_is_cache`, I-A7 `single_activation`, I-R6 `reply_after_commit`; and: no event is applied twice, every state
that an actor lets out is the fold of its stream, the same seed gives the same journal. A seed that fails is named and
repeats exactly; `persistence_worlds` says what happens in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from actors.persistence import Decision, JournalUnknown, Stored
from property_tests.persistence_worlds import Member, Was, lived, silence

SEEDS = 2_000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_acknowledged_command_is_lost_and_no_event_applied_twice(first: int) -> None:
    with silence():
        for seed in range(first, first + CHUNK):
            assert not lived(seed).violations, f"seed {seed}"


@pytest.mark.parametrize("seed", range(0, SEEDS, 50))
def test_the_same_seed_gives_the_same_journal(seed: int) -> None:
    with silence():
        one, two = lived(seed), lived(seed)
    assert one.contents() == two.contents()
    assert one.points.reached == two.points.reached
    assert one.acknowledged == two.acknowledged


def test_the_worlds_are_as_bad_as_they_should_be() -> None:
    """Or the tests above would show nothing."""
    with silence():
        worlds = [lived(seed) for seed in range(100)]
    assert sum(world.lives > 1 for world in worlds) > 30
    assert sum(len(world.acknowledged) for world in worlds) > 400
    faulty = [world for world in worlds if world.journal.statistics().events]
    assert len(faulty) > 90


# ------------------------------------------------------- faults put in by name


class AnswersTooSoon(Member):
    """Takes an append in doubt for one that was written."""

    async def _write(self, command: Any, decision: Decision[Was]) -> None:
        with suppress(JournalUnknown):
            await super()._write(command, decision)


class GoesOn(Member):
    """Stays alive after an append in doubt, with the state it had."""

    def end_failed(self, error: Exception) -> None:
        self._doubt = None


class AppliesTwice(Member):
    """Replays the last event that its snapshot holds."""

    async def _read_since_snapshot(self) -> Sequence[Stored[Was]]:
        stored = await super()._read_since_snapshot()
        return stored if not self._snapshot_seq else await self.read_stream(self._snapshot_seq - 1)


class TrustsItsSnapshot(Member):
    """Does not replay what came after."""

    async def _read_since_snapshot(self) -> Sequence[Stored[Was]]:
        stored = await super()._read_since_snapshot()
        return () if self._snapshot_seq else stored


class RepliesFirst(Member):
    """Writes when the reply is on its way."""

    async def _write(self, command: Any, decision: Decision[Was]) -> None:
        self.start_soon(partial(super()._write, command, decision))


@pytest.mark.parametrize(
    "planted", [AnswersTooSoon, GoesOn, AppliesTwice, TrustsItsSnapshot, RepliesFirst]
)
def test_a_fault_put_in_by_name_is_found(planted: type[Member]) -> None:
    with silence():
        assert any(lived(seed, planted).violations for seed in range(60))
