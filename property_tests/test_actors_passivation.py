"""Invariant I-A7, and races with an actor that stops when idle (see `actor_passivation`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors import RegistryStatistics
from property_tests.actor_passivation import Outcome, check_passivation, race
from property_tests.actor_seeds import BLOCKS, block_of, quiet, survey


@pytest.mark.parametrize("block", BLOCKS)
def test_ia7_single_activation_and_nothing_is_lost(block: int) -> None:
    survey(check_passivation, block_of(block))


def races(block: int, *, stops: int, pattern: int) -> list[Outcome]:
    """One pattern of messages, in as many orders as the scheduler finds."""
    with quiet():
        return [
            race(seed, keys=1, senders=4, count=4, stops=stops, pattern=pattern)
            for seed in block_of(block)
        ]


def share(outcomes: list[Outcome], hit: Callable[[RegistryStatistics], bool]) -> float:
    """In how many of the orders that could be told apart it happened."""
    different = {outcome.trace: outcome.statistics for outcome in outcomes}
    assert len(different) > 0.8 * len(outcomes)
    return sum(hit(statistics) for statistics in different.values()) / len(different)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_message_that_races_with_an_idle_stop_is_handled_by_the_successor(block: int) -> None:
    outcomes = races(block, stops=0, pattern=1)
    assert 0.5 < share(outcomes, lambda statistics: statistics.activations > 1) < 1


@pytest.mark.parametrize("block", BLOCKS)
def test_a_message_that_races_with_a_stop_is_handled_by_the_successor(block: int) -> None:
    outcomes = races(block, stops=3, pattern=5)
    assert 0.3 < share(outcomes, lambda statistics: statistics.redelivered > 0) < 1
