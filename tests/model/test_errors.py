"""Errors as values and as text."""

from __future__ import annotations

import msgspec

from opcode_runtime.model.errors import (
    MEANINGS,
    NOT_RETRYABLE,
    ErrorCode,
    ErrorInfo,
    OpcodeError,
    Problem,
)


def test_every_code_has_a_meaning_that_is_a_sentence() -> None:
    assert set(MEANINGS) == set(ErrorCode)
    assert all(meaning.endswith(".") for meaning in MEANINGS.values())


def test_the_text_names_code_and_step() -> None:
    error = ErrorInfo(ErrorCode.TIMEOUT_ERROR, "too slow")
    assert error.text() == "[TIMEOUT_ERROR] too slow"
    assert msgspec.structs.replace(error, step_id="a").text() == "[TIMEOUT_ERROR] step a: too slow"


def test_the_code_alone_says_whether_another_attempt_may_help() -> None:
    for code in ErrorCode:
        assert ErrorInfo(code, "").retryable is (code not in NOT_RETRYABLE)
    again = {ErrorCode.EXECUTION_ERROR, ErrorCode.TIMEOUT_ERROR, ErrorCode.CIRCUIT_OPEN}
    assert not again & NOT_RETRYABLE
    never = {ErrorCode.CANCELLED, ErrorCode.INTERPOLATION_ERROR, ErrorCode.ACTION_UNAVAILABLE}
    assert never <= NOT_RETRYABLE


def test_an_error_keeps_what_is_underneath_on_its_way_to_disk_and_back() -> None:
    cause = ErrorInfo(ErrorCode.EXECUTION_ERROR, "exit code 3", {"exit_code": 3})
    error = ErrorInfo(ErrorCode.RETRY_EXHAUSTED, "failed 3 times", step_id="a", cause=cause)
    assert msgspec.json.decode(msgspec.json.encode(error), type=ErrorInfo) == error


def test_what_is_not_known_is_not_written() -> None:
    written = msgspec.to_builtins(ErrorInfo(ErrorCode.BUSY, "later"))
    assert written == {"code": "BUSY", "message": "later"}
    problem = Problem("/steps", ErrorCode.VALIDATION_ERROR, "no")
    assert set(msgspec.to_builtins(problem)) == {"pointer", "code", "message"}


def test_a_raised_error_reads_like_its_value() -> None:
    error = OpcodeError(ErrorCode.NOT_FOUND, "no such step", details={"id": "a"}, next="query")
    assert str(error) == "[NOT_FOUND] no such step"
    assert error.info("a") == ErrorInfo(ErrorCode.NOT_FOUND, "no such step", {"id": "a"}, "a")
