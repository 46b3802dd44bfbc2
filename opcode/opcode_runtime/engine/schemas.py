"""JSON Schemas that users bring: inputs and outputs of templates.

Schemas never make anything be fetched: a `$ref` that leaves the document is an error. Values are validated by the Rust
implementation alone, with its linear engine for patterns (one with look-around is refused); the Python one explains
what is wrong with a schema itself.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

import jsonschema_rs

from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem

PROBLEMS_MAX = 20

SHOWN_MAX = 200
"""How much of a rejected value a message repeats, in characters."""


def _refuse(uri: str) -> Any:
    raise ValueError(f"remote references are not followed: {uri}")


class Schema:
    """A compiled schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.document = schema
        self._validator = jsonschema_rs.Draft202012Validator(
            schema,
            retriever=_refuse,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )

    def problems(self, value: Any) -> list[Problem]:
        """What in `value` the schema does not allow, the first `PROBLEMS_MAX` of it."""
        if self._validator.is_valid(value):
            return []
        return [
            Problem(
                "".join(f"/{part}" for part in error.instance_path),
                ErrorCode.VALIDATION_ERROR,
                error.message[:SHOWN_MAX],
            )
            for error in islice(self._validator.iter_errors(value), PROBLEMS_MAX)
        ]

    def check(self, value: Any, what: str, *, unknown: Collection[str] = ()) -> None:
        """Raise VALIDATION_ERROR with every problem when `value` (`what` begins the message) does not fit.

        Arguments:
            unknown: members of `value` that are not judged, since what they will be is not known yet.
        """
        problems = self.problems(value)
        if unknown:
            problems = [
                each
                for each in problems
                if each.pointer.split("/")[1:2] not in [[n] for n in unknown]
            ]
        if problems:
            first = problems[0]
            where = f" at {first.pointer}" if first.pointer else ""
            raise OpcodeError(
                ErrorCode.VALIDATION_ERROR,
                f"{what}{where}: {first.message}",
                problems=tuple(problems),
            )


def compile_schema(schema: dict[str, Any] | None) -> Schema | None:
    """Compile a schema that `schema_problems` has accepted."""
    return None if schema is None else Schema(schema)


def schema_problems(schema: dict[str, Any] | None, name: str) -> list[Problem]:
    """What is wrong with a schema itself, as problems below `/name`."""
    if schema is None:
        return []
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    worst = best_match(validator.iter_errors(schema))
    if isinstance(worst, SchemaError) or worst is not None:
        where = "".join(f"/{part}" for part in worst.absolute_path)
        return [Problem(f"/{name}{where}", ErrorCode.VALIDATION_ERROR, worst.message[:SHOWN_MAX])]
    try:
        Schema(schema)
    except (ValueError, TypeError) as error:
        return [Problem(f"/{name}", ErrorCode.VALIDATION_ERROR, str(error)[:SHOWN_MAX])]
    return []


def with_defaults(schema: dict[str, Any] | None, value: dict[str, Any]) -> dict[str, Any]:
    """`value` with the defaults of `schema` filled in, nested ones where their parent is there."""
    properties = (schema or {}).get("properties")
    if not isinstance(properties, dict):
        return value
    filled = dict(value)
    for name, rule in properties.items():
        if not isinstance(rule, dict):
            continue
        if name not in filled and "default" in rule:
            filled[name] = rule["default"]
        elif isinstance(filled.get(name), dict):
            filled[name] = with_defaults(rule, filled[name])
    return filled
