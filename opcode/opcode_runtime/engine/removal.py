"""`template rm`: take versions of a template out of use.

A removed version is not listed, not run and not counted as the latest; its definition stays readable for the workflows
that have used it, and its number is never given again.
"""

from __future__ import annotations

from typing import Any

from opcode_runtime.engine.define import no_template
from opcode_runtime.engine.keys import Keys
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.recovery import read_off_loop
from opcode_runtime.engine.requests import RemoveTemplate
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import TemplateRemoved
from opcode_runtime.model.record import WorkflowRow
from opcode_runtime.storage import OPEN, Append, template_stream

SHOWN_WORKFLOWS = 10


async def remove(kit: Kit, keys: Keys, request: RemoveTemplate) -> dict[str, Any]:
    """Remove `request.version`, or every version that is left.

    Raises:
        OpcodeError: NOT_FOUND when there is nothing to remove; CONFLICT, naming workflows that have not ended, while
            any of them uses it.
    """
    async with keys.one_at_a_time("define", request.name):
        versions = await read_off_loop(kit.clock, lambda: _versions(kit, request))
        if not versions:
            raise no_template(request.name, request.version)
        users = await read_off_loop(kit.clock, lambda: _users(kit, request))
        if users:
            raise _in_use(request, users)
        event = TemplateRemoved(
            at=kit.clock.now(), name=request.name, versions=versions, agent_id=request.agent_id
        )
        stream = template_stream(request.name)
        await kit.writer.append(Append(stream, kit.journal.head(stream)[0], (event,)))
    return {"name": request.name, "removed": versions}


def _versions(kit: Kit, request: RemoveTemplate) -> list[str]:
    rows = kit.journal.templates(name=request.name, version=request.version, limit=None)
    return [row.version for row in rows]


def _users(kit: Kit, request: RemoveTemplate) -> list[WorkflowRow]:
    """Workflows that use it and have not ended; one more than are shown, so that the answer can say so."""
    found: list[WorkflowRow] = []
    for status in OPEN:
        found += kit.journal.workflows(
            status=status,
            template_name=request.name,
            template_version=request.version,
            limit=SHOWN_WORKFLOWS + 1,
        )
    return found


def _in_use(request: RemoveTemplate, users: list[WorkflowRow]) -> OpcodeError:
    shown = users[:SHOWN_WORKFLOWS]
    names = ", ".join(f"{row.id} ({row.template_version}, {row.status})" for row in shown)
    more = ", and more" if len(users) > len(shown) else ""
    what = request.name + (f"@{request.version}" if request.version else "")
    return OpcodeError(
        ErrorCode.CONFLICT,
        f"{what} is used by workflows that have not ended: {names}{more}",
        details={"workflows": [row.id for row in shown], "more": bool(more)},
        next="let them end, or cancel them, and remove it then",
    )
