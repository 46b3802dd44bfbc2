"""The invariants catch what they are there for: faults planted by name, on random trees and message patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

import actors
from property_tests.actor_seeds import Breach, Check, quiet, survey
from tests.actors.planted_faults import FAULTS, Fault, planted

SEEDS = range(600)
NAMED = ("lost_on_passivation", "wrong_siblings", "window", "ask_unanswered", "cancelled")


def breach(fault: Fault) -> Breach | None:
    """The first breach of an invariant that the fault must break."""
    with planted(fault), quiet():
        for seed in SEEDS:
            try:
                fault.check(seed)
            except Breach as found:
                if found.invariant in fault.breaks:
                    return found
    return None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_caught_by_an_invariant(fault: Fault) -> None:
    found = breach(fault)
    assert found is not None, f"{fault.name} breaks no invariant over {len(SEEDS)} seeds"


@pytest.mark.parametrize("kind", NAMED)
def test_each_kind_of_fault_is_planted(kind: str) -> None:
    assert any(fault.name.startswith(kind) for fault in FAULTS)


CHECKS = sorted({fault.check for fault in FAULTS}, key=lambda check: check.__name__)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_once_a_fault_is_gone_nothing_is_caught(check: Check) -> None:
    for fault in FAULTS:
        with planted(fault):
            pass
    survey(check, range(20))


def test_no_fault_can_be_planted_from_within_the_package() -> None:
    package = Path(actors.__file__).parent
    assert not [path for path in package.rglob("*.py") if "planted" in path.read_text()]
