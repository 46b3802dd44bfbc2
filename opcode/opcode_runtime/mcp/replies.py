"""What goes back to the caller: one JSON object, and the same JSON as text.

Rule 1: a frame never exceeds `FRAME_BYTES_MAX`, because common clients drop a session at an SSE event over 1 MiB.
Rule 2: too large a reply loses, in this order: the repetition as text, old events, outputs and inputs of steps, and
then inputs, context and output, largest first. Status, error, open decisions and `next` are never cut; what is missing
is said in `truncated`. What is still too large is refused, naming what to ask instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from opcode_runtime.model.errors import ErrorCode, OpcodeError

FRAME_BYTES_MAX = 900 * 1024
_ENVELOPE_BYTES = 4096
_PREVIEW_CHARS = 400
_CUTTABLE = ("inputs", "context", "output")
_TEXT_LEFT_OUT = "The reply is too large to be repeated as text; read structuredContent."
_HOW_TO_GET = (
    "Ask opcode.query for resource events with filter {workflow_id, step_id, limit}, or let the workflow write large "
    "values to files."
)


class Reply(msgspec.Struct, frozen=True):
    """The outcome of one call. `is_error` marks a refusal; a workflow that failed is not one."""

    structured: dict[str, Any]
    text: str
    is_error: bool = False


def success(answer: dict[str, Any]) -> Reply:
    """Wrap an answer of the engine so that it fits into one frame.

    Raises:
        OpcodeError: TOO_LARGE when nothing that may be cut makes it fit.
    """
    for smaller in _ever_smaller(answer):
        text = _compact(smaller)
        if _surely_fits(text) or _fits(smaller, text):
            return Reply(smaller, text)
        if _fits(smaller, _TEXT_LEFT_OUT):
            return Reply(smaller, _TEXT_LEFT_OUT)
    raise OpcodeError(
        ErrorCode.TOO_LARGE,
        f"The answer is larger than the {FRAME_BYTES_MAX >> 10} KiB that one frame carries.",
        details={"workflow_id": answer["workflow_id"]} if "workflow_id" in answer else None,
        next="Ask for less: a filter with a smaller limit, or a later since_seq.",
    )


def refusal(error: OpcodeError) -> Reply:
    """Turn an error into a reply that a person can read and a program can act on."""
    body: dict[str, Any] = {"code": str(error.code), "message": error.message}
    if error.pointer is not None:
        body["pointer"] = error.pointer
    if error.problems:
        body["problems"] = [msgspec.to_builtins(problem) for problem in error.problems]
    if error.details is not None:
        body["details"] = error.details
    body["retryable"] = error.info().retryable
    body["next"] = error.next or _NEXT.get(error.code, _NEXT_OTHERWISE)
    reply = Reply(body, _readable(error, body["next"]), is_error=True)
    if _fits(reply.structured, reply.text):
        return reply
    return refusal(_shortened(error))


def _shortened(error: OpcodeError) -> OpcodeError:
    """The same error without details and with its first problems only, so short that it must fit."""
    few = tuple(
        msgspec.structs.replace(
            problem, pointer=problem.pointer[:200], message=problem.message[:300], patch=None
        )
        for problem in error.problems[:20]
    )
    return OpcodeError(
        error.code,
        error.message[:4000],
        problems=few,
        details={"left_out": "details and further problems did not fit into one frame"},
        next=error.next and error.next[:1000],
    )


_NEXT_OTHERWISE = "Read the message; call again once what it names is changed."
_NEXT = {
    ErrorCode.VALIDATION_ERROR: "Mend what is named and call again.",
    ErrorCode.NOT_FOUND: "Look at what there is with opcode.query.",
    ErrorCode.CONFLICT: "Look at the present state with opcode.status or opcode.query.",
    ErrorCode.INVALID_TRANSITION: "Look at the present state with opcode.status.",
    ErrorCode.BUSY: "Call again in a few seconds.",
    ErrorCode.DEGRADED: "Free disk space; reading goes on meanwhile.",
    ErrorCode.EXECUTION_ERROR: "Call again; if it stays, the daemon's log says more.",
    ErrorCode.TIMEOUT_ERROR: "Call again, or look with opcode.status.",
    ErrorCode.ACTION_UNAVAILABLE: 'List the actions: opcode.query {"resource":"actions"}.',
    ErrorCode.TOO_LARGE: "Ask for less, or send less.",
}


def _readable(error: OpcodeError, following: str) -> str:
    lines = [str(error)]
    for problem in error.problems:
        meant = f" (did you mean {problem.did_you_mean!r}?)" if problem.did_you_mean else ""
        lines.append(f"- {problem.pointer or '/'}: {problem.message}{meant}")
    lines.append(f"Next: {following}")
    return "\n".join(lines)


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _wire_bytes(value: Any) -> int:
    """Size of a value as JSON in ASCII, the longest of the forms in which a transport writes it."""
    return len(json.dumps(value, separators=(",", ":")))


def _surely_fits(text: str) -> bool:
    """Whether an answer fits for certain, together with itself as text; found without encoding it anew.

    ASCII grows by nothing but a backslash before each quote and backslash where it is repeated as text; DEL alone is
    written as an escape by some. The other form of the answer differs in how numbers are written: by a fourth at most
    (`1e16` and `1e+16`).
    """
    room = FRAME_BYTES_MAX - _ENVELOPE_BYTES
    if 24 * len(text) < room:
        return True  # even if every character were one that takes two escapes
    repeated = len(text) + text.count('"') + text.count("\\")
    is_plain = text.isascii() and "\x7f" not in text
    return is_plain and 1.3 * len(text) + repeated <= room


def _fits(structured: dict[str, Any], text: str) -> bool:
    room = FRAME_BYTES_MAX - _ENVELOPE_BYTES
    if 12 * (len(_compact(structured)) + len(text)) < room:
        return True  # even if every character were one that takes two escapes
    return _wire_bytes(structured) + _wire_bytes(text) <= room


def _ever_smaller(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer, then versions of it with more and more left out."""
    yield answer
    missing: list[str] = []
    for smaller in _with_less(dict(answer), missing):
        yield {**smaller, "truncated": {"what": missing, "how_to_get": _HOW_TO_GET}}


def _with_less(answer: dict[str, Any], missing: list[str]) -> Iterator[dict[str, Any]]:
    """Cut one thing after the other out of `answer`, naming it in `missing`."""
    if answer.get("events"):
        missing.append("older events")
    while answer.get("events"):
        answer["events"] = answer["events"][: len(answer["events"]) // 2]
        answer["has_more"] = True
        yield answer
    for member in ("output", "input"):
        answer["steps"] = {
            path: _without(member, step, f"/steps/{path}", missing)
            for path, step in answer.get("steps", {}).items()
        }
        yield answer
    for member in sorted(_CUTTABLE, key=lambda member: -_wire_bytes(answer.get(member))):
        answer = _without(member, answer, "", missing)
        yield answer


def _without(member: str, whole: dict[str, Any], at: str, missing: list[str]) -> dict[str, Any]:
    if _wire_bytes(whole.get(member)) <= 2 * _PREVIEW_CHARS:
        return whole
    missing.append(f"{at}/{member}")
    return {**whole, member: _stand_in(whole[member])}


def _stand_in(value: Any) -> dict[str, Any]:
    text = _compact(value)
    return {"bytes": len(text.encode()), "preview": text[:_PREVIEW_CHARS]}
