"""Events on their way out and back."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings

from opcode_runtime.model import events as ev
from opcode_runtime.model.settings import settings_from
from opcode_runtime.testing.strategies import events


@settings(max_examples=200, deadline=None, derandomize=True)
@given(events())
def test_an_event_comes_back_as_it_was(event: ev.AnyEvent) -> None:
    payload = ev.to_payload(event)
    assert payload["type"] == event.__struct_config__.tag
    assert payload["at"] == event.at
    assert ev.from_payload(payload) == event


def test_every_event_has_a_name_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in get_args(ev.AnyEvent)]
    assert len(set(tags)) == len(tags) > 20


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"at": 1.0},
        {"type": "workflow_exploded", "at": 1.0},
        {"type": "workflow_started"},
        {"type": "workflow_started", "at": "noon"},
        {"type": "step_skipped", "at": 1.0, "step_id": "a", "reason": "whim"},
    ],
)
def test_a_payload_of_an_unknown_shape_is_a_typed_error(payload: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        ev.from_payload(payload)


def test_an_unknown_setting_is_refused_by_name() -> None:
    assert settings_from({"pool_size": 3}).pool_size == 3
    for wrong in ({"pol_size": 3}, {"limits": {"step_max": 1}}, {"pool_size": "many"}):
        with pytest.raises(ValueError, match=r"pol_size|step_max|pool_size"):
            settings_from(wrong)
