"""crypto.*, assert.equals, workflow.log, workflow.emit and workflow.fail."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from opcode_runtime.actions import Call, builtin_registry, check_params, perform_in_place
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, EmitRequest, Failed, LogRequest

REGISTRY = builtin_registry()


def output(name: str, params: dict[str, Any], call: Call | None = None) -> Any:
    outcome = perform_in_place(REGISTRY.get(name), params, call or Call())
    assert isinstance(outcome, Completed), outcome
    return outcome.output


def error(name: str, params: dict[str, Any]) -> ErrorInfo:
    outcome = perform_in_place(REGISTRY.get(name), params, Call())
    assert isinstance(outcome, Failed), outcome
    return outcome.error


@pytest.mark.parametrize(
    ("data", "algorithm", "start", "end"),
    [
        ("hello", None, "2cf24dba", "9824"),
        ("", "sha256", "e3b0c442", "b855"),
        ("hello", "md5", "5d41402a", "c592"),
        ("hello", "sha1", "aaf4c61d", "434d"),
        ("hello", "sha512", "9b71d224", "dec043"),
    ],
)
def test_digests_are_those_of_the_published_vectors(
    data: str, algorithm: str | None, start: str, end: str
) -> None:
    got = output("crypto.hash", {"data": data, "algorithm": algorithm})
    assert got["hash"].startswith(start)
    assert got["hash"].endswith(end)
    assert got["algorithm"] == (algorithm or "sha256")


def test_an_object_is_hashed_as_its_compact_json() -> None:
    same = [{"data": {"a": [1, 2.0]}}, {"data": '{"a":[1,2]}'}]
    assert len({output("crypto.hash", params)["hash"] for params in same}) == 1


def test_an_unknown_algorithm_or_missing_data_is_the_authors_fault() -> None:
    assert (
        error("crypto.hash", {"data": "x", "algorithm": "crc"}).code is ErrorCode.VALIDATION_ERROR
    )
    assert error("crypto.hash", {}).code is ErrorCode.VALIDATION_ERROR
    assert error("crypto.hmac", {"data": "x"}).code is ErrorCode.VALIDATION_ERROR


def test_a_keyed_digest_is_that_of_rfc_4231() -> None:
    got = output("crypto.hmac", {"key": "Jefe", "data": "what do ya want for nothing?"})
    assert got["hmac"] == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


def test_ids_are_random_and_of_version_four() -> None:
    ids = {output("crypto.uuid", {})["uuid"] for _ in range(100)}
    assert len(ids) == 100
    assert all(uuid.UUID(text).version == 4 for text in ids)


EQUAL_ALWAYS: list[tuple[Any, Any]] = [
    (1, 1.0),
    ({"a": [1, {"b": 2.0}]}, {"a": [1.0, {"b": 2}]}),
    (None, None),
    ("x", "x"),
    ([], []),
]
EQUAL_UNLESS_STRICT: list[tuple[Any, Any]] = [
    (5, "5"),
    ("5", 5.0),
    (True, "true"),
    (None, "null"),
    ({"a": [1]}, {"a": ["1"]}),
    (0.5, "0.5"),
]
NEVER_EQUAL: list[tuple[Any, Any]] = [
    (1, 2),
    (1, True),
    (0, False),
    ("1", True),
    ([1], [1, 2]),
    ({"a": 1}, {"b": 1}),
    ({"a": 1}, '{"a":1}'),
    (None, ""),
    (None, 0),
    ("5.0", 5),
]


@pytest.mark.parametrize(("left", "right"), EQUAL_ALWAYS + EQUAL_UNLESS_STRICT)
def test_values_are_equal_across_number_types_and_as_text(left: Any, right: Any) -> None:
    assert output("assert.equals", {"expected": left, "actual": right}) == {"pass": True}
    assert output("assert.equals", {"expected": right, "actual": left}) == {"pass": True}


@pytest.mark.parametrize(("left", "right"), EQUAL_UNLESS_STRICT + NEVER_EQUAL)
def test_strict_comparison_tells_a_scalar_from_its_text(left: Any, right: Any) -> None:
    got = error("assert.equals", {"expected": left, "actual": right, "strict": True})
    assert got.code is ErrorCode.ASSERTION_FAILED
    assert got.details == {"expected": left, "actual": right}


@pytest.mark.parametrize(("left", "right"), NEVER_EQUAL)
def test_different_values_fail_the_assertion(left: Any, right: Any) -> None:
    params = {"expected": left, "actual": right, "message": "odd"}
    assert error("assert.equals", params).message == "odd"
    assert not error("assert.equals", {**params, "expected": right, "actual": left}).retryable


def test_a_log_line_keeps_its_data_and_all_further_keys() -> None:
    params = {"message": {"a": 1}, "level": "WARN", "data": [1], "user": "u", "n": None}
    outcome = perform_in_place(REGISTRY.get("workflow.log"), params, Call())
    assert outcome == Completed(
        {"logged": True}, (LogRequest("warn", '{"a":1}', [1], {"user": "u", "n": None}),)
    )


@pytest.mark.parametrize(
    ("level", "written"), [("loud", "info"), (None, "info"), ("error", "error")]
)
def test_an_unknown_level_is_info(level: str | None, written: str) -> None:
    call = Call()
    output("workflow.log", {"message": "m", "level": level}, call)
    (request,) = call.requests
    assert isinstance(request, LogRequest)
    assert request.level == written


@pytest.mark.parametrize(
    ("params", "request_"),
    [
        ({"event_type": "paid", "payload": {"n": 1}}, EmitRequest("paid", {"n": 1})),
        ({"signal": "paid", "data": [1]}, EmitRequest("paid", [1])),
        ({"event": "paid"}, EmitRequest("paid")),
        ({"event_type": "a", "signal": "b", "event": "c"}, EmitRequest("a")),
        ({"signal": "b", "event": "c", "payload": None, "data": 1}, EmitRequest("b")),
        ({"event_type": None, "event": "c", "payload": 0}, EmitRequest("c", 0)),
        ({"event_type": 5}, EmitRequest("5")),
    ],
)
def test_an_event_is_emitted_under_any_of_its_parameters_names(
    params: dict[str, Any], request_: EmitRequest
) -> None:
    outcome = perform_in_place(REGISTRY.get("workflow.emit"), params, Call())
    assert outcome == Completed({"emitted": True}, (request_,))


@pytest.mark.parametrize(
    "params", [{}, {"payload": 1}, {"event_type": ""}, {"event": "  "}, {"signal": None}]
)
def test_an_event_without_a_type_is_refused_when_defined_and_when_run(
    params: dict[str, Any],
) -> None:
    assert error("workflow.emit", params).code is ErrorCode.VALIDATION_ERROR
    assert check_params(REGISTRY.get("workflow.emit").spec, params)


def test_a_missing_type_is_asked_for_by_all_its_names_and_may_be_an_expression() -> None:
    spec = REGISTRY.get("workflow.emit").spec
    [problem] = check_params(spec, {"payload": 1}, pointer="/steps/0/params")
    assert problem.message == "missing required param 'event_type' or 'signal' or 'event'"
    assert problem.pointer == "/steps/0/params"
    assert check_params(spec, {"event": "${{inputs.kind}}", "data": "${{inputs.n}}"}) == []
    assert check_params(spec, {"payload": "${{inputs.n}}"}) != []


def test_fail_fails_for_good_with_its_reason() -> None:
    assert error("workflow.fail", {"reason": "enough"}) == ErrorInfo(
        ErrorCode.NON_RETRYABLE, "enough"
    )
    assert error("workflow.fail", {}).message == "workflow.fail invoked"
