"""crypto.* and assert.equals."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from opcode_runtime.actions import Call, builtin_registry, perform_in_place
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed

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


@pytest.mark.parametrize(("scalar", "text"), [(200, "200"), (2.5, "2.5"), (True, "true")])
def test_a_scalar_is_hashed_as_its_text(scalar: Any, text: str) -> None:
    params: tuple[dict[str, Any], ...] = ({"data": scalar}, {"data": text})
    assert len({output("crypto.hash", each)["hash"] for each in params}) == 1
    assert len({output("crypto.hmac", each | {"key": 1})["hmac"] for each in params}) == 1


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
