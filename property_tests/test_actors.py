"""Invariants I-A1 to I-A4 and I-A6, on message patterns made at random (see `actor_traffic`)."""

from __future__ import annotations

import pytest

from property_tests.actor_seeds import BLOCKS, block_of, survey
from property_tests.actor_traffic import check_traffic


@pytest.mark.parametrize("block", BLOCKS)
def test_ia1_fifo_ia2_one_at_a_time_ia3_bounded_ia4_every_ask_ends_ia6_system_lane(
    block: int,
) -> None:
    survey(check_traffic, block_of(block))
