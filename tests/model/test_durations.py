"""Durations as Go writes them."""

from __future__ import annotations

import pytest

from opcode_runtime.model.durations import format_duration, parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0), ("+0", 0.0), ("0s", 0.0), ("5s", 5.0), ("+5s", 5.0), ("500ms", 0.5), ("1h30m", 5400.0),
        ("1.5s", 1.5), (".5s", 0.5), ("1.s", 1.0), ("1m0.25s", 60.25), ("100us", 1e-4), ("100µs", 1e-4),
        ("100μs", 1e-4), ("7ns", 7e-9), ("3h3h", 21600.0), ("2562047h", 2562047 * 3600.0),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", ".s", "5 s", "1d", "1h 30m", "5S", "1.5.5s", "+-5s", "1e3s", "5sx", "soon", "٣s", "0x1s"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="500ms, 30s, 1h30m"):
        parse_duration_s(text)


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        parse_duration_s("-5s")


@pytest.mark.parametrize("text", ["2562048h", "9" * 400 + "h"])
def test_a_duration_that_go_could_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250ms"),
        (1, "1s"),
        (59.5, "59.5s"),
        (60, "1m0s"),
        (3600, "1h0m0s"),
        (5400, "1h30m0s"),
    ],
)
def test_seconds_are_written_as_a_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
    assert parse_duration_s(text) == seconds
