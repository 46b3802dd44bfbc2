"""`define`: check a definition whole, then store it as the next version of its template."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from opcode_runtime.core.validation import Checked, validate_permissions, validate_triggers
from opcode_runtime.engine.keys import Keys, holder, key_of
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.requests import Define
from opcode_runtime.engine.secret_places import named_in
from opcode_runtime.model.definition import content_digest
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem
from opcode_runtime.model.events import TemplateDefined
from opcode_runtime.storage import Append, template_stream

NAME_CHARACTERS_MAX = 128
SHOWN_PROBLEMS = 3


async def define(kit: Kit, keys: Keys, request: Define, *, principal: str) -> dict[str, Any]:
    """Store `request.definition`, or say everything that is wrong with it.

    Raises:
        OpcodeError: VALIDATION_ERROR with all problems; TOO_LARGE; CONFLICT for a key used otherwise.
    """
    _check_name(request.name)
    _check_size(kit, request)
    checked = _check(kit, request)
    if checked.errors:
        raise _invalid(checked)
    if request.check_only:
        return _reply(request.name, None, checked, valid=True)
    content = _content(request)
    who = holder(principal, request.agent_id)
    key = key_of(who, "define", request.idempotency_key, request.name, *content)
    async with keys.hold(key) as seen, keys.one_at_a_time("define", request.name):
        digest = content_digest(*content)
        latest = kit.journal.template(request.name)
        if seen is not None:
            return _reply(
                request.name, _defined_at(kit, request.name, seen.seq), checked, unchanged=True
            )
        if latest is not None and latest.digest == digest:
            return _reply(request.name, latest.version, checked, unchanged=True)
        version = await _store(kit, request, digest, key.as_tuple() if key else None)
    return _reply(request.name, version, checked, unchanged=False)


def no_template(name: str, version: str | None = None) -> OpcodeError:
    """The same answer for a template that never was and for one that was removed."""
    what = f"template {name!r}" + (f" version {version!r}" if version else "")
    return OpcodeError(
        ErrorCode.NOT_FOUND,
        f"there is no {what}",
        next="opcode.query resource=templates lists what is defined",
    )


def check_in_use(kit: Kit, name: str, version: str | None) -> None:
    """Refuse a new workflow of a version that was removed; workflows that have it keep it.

    Raises:
        OpcodeError: NOT_FOUND.
    """
    if version is None:
        return  # the latest is never one that was removed
    template = kit.journal.template(name, version)
    if template is not None and template.removed_at is not None:
        raise no_template(name, version)


def _check(kit: Kit, request: Define) -> Checked:
    """Everything that is wrong, whichever argument it is in."""
    checked = kit.templates.check(request.definition, request.input_schema, request.output_schema)
    problems = [
        *validate_triggers(request.triggers),
        *validate_permissions(request.permissions),
    ]
    if not problems:
        return _warned(kit, request, checked)
    return Checked(None, (*checked.errors, *problems), checked.warnings)


def _warned(kit: Kit, request: Define, checked: Checked) -> Checked:
    """With a warning for each secret that this version would not get from the vault as it is now."""
    named = named_in(request.definition) if not checked.errors else {}
    if not named:
        return checked
    version = _version_of(kit, request)
    warnings = [
        Problem(pointer, ErrorCode.VAULT_ERROR, objection)
        for name, pointer in named.items()
        if (objection := kit.vault.objection(name, request.name, version)) is not None
    ]
    return replace(checked, warnings=(*checked.warnings, *warnings))


def _version_of(kit: Kit, request: Define) -> str:
    """The version that the definition has, or would have."""
    latest = kit.journal.template(request.name)
    if latest is not None and latest.digest == content_digest(*_content(request)):
        return latest.version
    return f"v{kit.journal.template_versions(request.name) + 1}"


def _content(request: Define) -> tuple[Any, ...]:
    """What makes a version. Permissions count only when there are any, as before there were."""
    content = (
        request.definition,
        request.input_schema,
        request.output_schema,
        request.triggers,
        request.description,
    )
    return content if request.permissions is None else (*content, request.permissions)


def _defined_at(kit: Kit, name: str, seq: int) -> str:
    """The version that an earlier call with the same key has defined."""
    (record,) = kit.journal.read(template_stream(name), seq - 1, 1)
    assert isinstance(record.event, TemplateDefined)
    return record.event.version


async def _store(kit: Kit, request: Define, digest: str, key: tuple[str, str, str] | None) -> str:
    """Append the next version to the template's own stream; the numbers of removed versions are not given again."""
    stream = template_stream(request.name)
    expected_seq = kit.journal.head(stream)[0]
    event = TemplateDefined(
        at=kit.clock.now(),
        name=request.name,
        version=f"v{kit.journal.template_versions(request.name) + 1}",
        digest=digest,
        definition=request.definition,
        input_schema=request.input_schema,
        output_schema=request.output_schema,
        triggers=request.triggers,
        permissions=request.permissions,
        description=request.description,
        agent_id=request.agent_id,
        key=key,
    )
    await kit.writer.append(Append(stream, expected_seq, (event,)))
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
