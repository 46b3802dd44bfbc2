"""Paths, decision ids, idempotency keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opcode_runtime.model.definition import content_digest
from opcode_runtime.model.ids import decision_id, encode_segment, idempotency_key

SEGMENTS = st.text(st.sampled_from("a.#/%2E\n\x7f步")) | st.text()


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("plain-name", "plain-name"), ("a b", "a b"), ("步骤", "步骤"), ("v1.2", "v1%2E2"), ("a#2", "a%232"),
     ("a/b", "a%2Fb"), ("50%", "50%25"), ("%2E", "%252E"), ("a\n", "a%0A"), ("\x7f", "%7F")],
)  # fmt: skip
def test_reserved_characters_are_percent_encoded(name: str, encoded: str) -> None:
    assert encode_segment(name) == encoded


@given(st.lists(SEGMENTS, min_size=1, max_size=3), st.lists(SEGMENTS, min_size=1, max_size=3))
def test_a_path_splits_in_one_way_only(one: list[str], other: list[str]) -> None:
    paths = [".".join(map(encode_segment, parts)) for parts in (one, other)]
    assert (paths[0] == paths[1]) is (one == other)
    assert len(paths[0].split(".")) == len(one)


def test_the_first_opening_of_a_decision_carries_no_number() -> None:
    assert [decision_id("w", "a", n) for n in (1, 2, 3)] == ["w_a", "w_a#2", "w_a#3"]
    assert decision_id("w", encode_segment("a#2"), 1) != decision_id("w", "a", 2)


def test_an_idempotency_key_belongs_to_one_step_of_one_workflow() -> None:
    keys = {
        idempotency_key(w, p)
        for w, p in [("w", "a"), ("w", "b"), ("v", "a"), ("wa", ""), ("", "wa")]
    }
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}
    assert idempotency_key("w", "a") == idempotency_key("w", "a")


def test_a_content_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert content_digest({"a": 1, "b": [1, 2]}) == content_digest({"b": [1, 2], "a": 1})
    assert content_digest({"b": [1, 2]}) != content_digest({"b": [2, 1]})
    assert content_digest({"n": 2**80}) != content_digest({"n": 2**80 + 1})
