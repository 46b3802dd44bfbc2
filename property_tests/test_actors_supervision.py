"""Invariants I-A5 and I-S1 to I-S6, on supervision trees made at random.

`actor_trees` compares what supervisors do with a model of OTP; `actor_collapse` looks at what is left of trees that
fall in every way at once.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import BackOff, ExitKind, Intensity, decide_restart
from property_tests.actor_collapse import check_collapse
from property_tests.actor_seeds import BLOCKS, block_of, survey
from property_tests.actor_trees import check_trees


@pytest.mark.parametrize("block", BLOCKS)
def test_is1_strategies_is2_restart_type_is3_intensity_is4_cancel_is5_isolation(block: int) -> None:
    survey(check_trees, block_of(block))


@pytest.mark.parametrize("block", BLOCKS)
def test_ia5_no_orphans_is4_cancel_is_not_failure_is6_bounded_shutdown(block: int) -> None:
    survey(check_collapse, block_of(block))


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(st.floats(0, 20), max_size=30).map(sorted),
    st.integers(0, 5),
    st.floats(0.1, 10),
    st.sampled_from(["failure", "normal"]),
)
def test_is3_intensity(
    times: list[float], restarts_max: int, within_s: float, kind: ExitKind
) -> None:
    past: tuple[float, ...] = ()
    restarted: list[float] = []
    for now in times:
        decision = decide_restart(
            "permanent",
            kind,
            past,
            now,
            intensity=Intensity(restarts_max, within_s),
            back_off=BackOff(),
        )
        too_many = sum(now - time <= within_s for time in restarted) + 1 > restarts_max
        assert decision.action == ("give_up" if too_many else "restart")
        assert len(decision.past) <= restarts_max
        past = decision.past
        if not too_many:
            restarted.append(now)
