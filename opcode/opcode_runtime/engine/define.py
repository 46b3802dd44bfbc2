"""`define`: check a definition whole, then store it as the next version of its template."""

from __future__ import annotations

from typing import Any

import msgspec

from opcode_runtime.core.validation import Checked
from opcode_runtime.engine.keys import Keys, holder, key_of
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.requests import Define
from opcode_runtime.model.definition import Template, content_digest
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import TemplateDefined
from opcode_runtime.storage import Append

NAME_CHARACTERS_MAX = 128
SHOWN_PROBLEMS = 3


async def define(kit: Kit, keys: Keys, request: Define, *, principal: str) -> dict[str, Any]:
    """Store `request.definition`, or say everything that is wrong with it.

    Raises:
        OpcodeError: VALIDATION_ERROR with all problems; TOO_LARGE; CONFLICT for a key used otherwise.
    """
    _check_name(request.name)
    _check_size(kit, request)
    checked = kit.templates.check(request.definition, request.input_schema, request.output_schema)
    if checked.errors:
        raise _invalid(checked)
    if request.check_only:
        return _reply(request.name, None, checked, valid=True)
    content = (
        request.definition,
        request.input_schema,
        request.output_schema,
        request.triggers,
        request.description,
    )
    who = holder(principal, request.agent_id)
    key = key_of(who, "define", request.idempotency_key, request.name, *content)
    async with keys.hold(key) as seen, keys.one_at_a_time("define", request.name):
        digest = content_digest(*content)
        latest = kit.journal.template(request.name)
        if seen is not None:
            return _reply(request.name, f"v{seen.seq}", checked, unchanged=True)
        if latest is not None and latest.digest == digest:
            return _reply(request.name, latest.version, checked, unchanged=True)
        version = await _store(kit, request, latest, digest, key.as_tuple() if key else None)
    return _reply(request.name, version, checked, unchanged=False)


async def _store(
    kit: Kit,
    request: Define,
    latest: Template | None,
    digest: str,
    key: tuple[str, str, str] | None,
) -> str:
    """Append the next version to the template's own stream; version and seq are the same number."""
    before = int(latest.version.removeprefix("v")) if latest else 0
    event = TemplateDefined(
        at=kit.clock.now(),
        name=request.name,
        version=f"v{before + 1}",
        digest=digest,
        definition=request.definition,
        input_schema=request.input_schema,
        output_schema=request.output_schema,
        triggers=request.triggers,
        description=request.description,
        agent_id=request.agent_id,
        key=key,
    )
    await kit.writer.append(Append(f"template/{request.name}", before, (event,)))
    return event.version


def _check_name(name: str) -> None:
    good = 0 < len(name) <= NAME_CHARACTERS_MAX and name.isprintable()
    if not good or "/" in name or "@" in name or name != name.strip():
        raise OpcodeError(
            ErrorCode.VALIDATION_ERROR,
            f"a template name has 1 to {NAME_CHARACTERS_MAX} printable characters, "
            "none of them / or @, and no spaces around it",
            pointer="/name",
        )


def _check_size(kit: Kit, request: Define) -> None:
    size = len(msgspec.json.encode(request.definition))
    limit = kit.settings.limits.definition_bytes_max
    if size > limit:
        raise OpcodeError(
            ErrorCode.TOO_LARGE,
            f"the definition has {size} bytes; limits.definition_bytes_max is {limit}",
            pointer="/definition",
        )


def _invalid(checked: Checked) -> OpcodeError:
    """All problems as one error; pointers are relative to the definition."""
    shown = "; ".join(
        f"{problem.pointer or '/'}: {problem.message}"
        for problem in checked.errors[:SHOWN_PROBLEMS]
    )
    more = len(checked.errors) - SHOWN_PROBLEMS
    count = len(checked.errors)
    return OpcodeError(
        checked.errors[0].code if count == 1 else ErrorCode.VALIDATION_ERROR,
        f"{count} problem{'s' if count > 1 else ''} in the definition: {shown}"
        + (f"; and {more} more" if more > 0 else ""),
        problems=checked.errors,
        next="mend what the pointers name and call opcode.define again; check_only=true stores nothing",
    )


def _reply(
    name: str,
    version: str | None,
    checked: Checked,
    *,
    unchanged: bool | None = None,
    valid: bool | None = None,
) -> dict[str, Any]:
    reply: dict[str, Any] = {"name": name}
    if version is not None:
        reply["version"] = version
    if unchanged is not None:
        reply["unchanged"] = unchanged
    if valid is not None:
        reply["valid"] = valid
    reply["warnings"] = [msgspec.to_builtins(problem) for problem in checked.warnings]
    return reply
