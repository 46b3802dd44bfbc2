"""`triggers` and `permissions`: free objects, but a schedule has to be one."""

from __future__ import annotations

from typing import Any

import pytest

from opcode_runtime.core.validation import (
    apply_patch,
    validate_permissions,
    validate_triggers,
)


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *", "*/5 9-17 * * 1-5", "0 0 1,15 * *", "30 4 * JAN-mar sun", "0 0 * * 7", "? ? * * ?",
        "*/10 * * * * *", "@daily", "@every 5m", "CRON_TZ=Europe/Oslo 0 9 * * *", "TZ=UTC @hourly", "5/15 * * * *",
    ],
)  # fmt: skip
def test_a_cron_expression_is_accepted(schedule: str) -> None:
    assert validate_triggers({"cron": schedule}) == []


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("* * * *", "4 fields"), ("", "0 fields"), ("60 * * * *", "minute '60' is outside 0 to 59"),
        ("* 24 * * *", "hour"), ("* * 0 * *", "day of month"), ("* * * 13 *", "month"), ("* * * * 8", "day of week"),
        ("* * * FOO *", "month 'FOO'"), ("*/0 * * * *", "step of 0"), ("1- * * * *", "cannot be read"),
        ("TZ=UTC", "1 fields"), ("@dayly", "@daily"), (5, "cron expression"), (None, "cron expression"),
        ("*-5 * * * *", "cannot be read"),
    ],
)  # fmt: skip
def test_a_schedule_that_could_never_fire_is_refused(schedule: Any, said: str) -> None:
    [problem] = validate_triggers({"nightly": [{"schedule": schedule}]})
    assert problem.pointer == "/triggers/nightly/0/schedule"
    assert said in problem.message


def test_a_misspelt_name_of_a_schedule_comes_with_its_repair() -> None:
    [problem] = validate_triggers({"cron": "@dayly"})
    document = apply_patch({"triggers": {"cron": "@dayly"}}, problem.patch or [])
    assert validate_triggers(document["triggers"]) == []


@pytest.mark.parametrize(
    "value", [None, {}, {"webhook": {"path": "/x"}, "anything": [1, {"a": 2}]}]
)
def test_other_triggers_and_permissions_are_free(value: Any) -> None:
    assert validate_triggers(value) == []
    assert validate_permissions(value) == []


@pytest.mark.parametrize("value", [[], 3, "x", True])
def test_triggers_and_permissions_are_objects(value: Any) -> None:
    assert [problem.pointer for problem in validate_triggers(value)] == ["/triggers"]
    assert [problem.pointer for problem in validate_permissions(value)] == ["/permissions"]


def test_an_object_that_was_written_as_text_comes_with_its_repair() -> None:
    [problem] = validate_triggers('{"cron": "* * * * *"}')
    assert problem.patch == [{"op": "replace", "path": "/triggers", "value": {"cron": "* * * * *"}}]
