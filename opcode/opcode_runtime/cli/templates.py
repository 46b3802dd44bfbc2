"""What `opcode template` asks of the daemon: two questions over the tools, and one request that no tool makes."""

from __future__ import annotations

from typing import Any

from opcode_runtime.cli.client import Connection, Target, connect, delete
from opcode_runtime.cli.exits import CommandError, Exit

_PAGE_ROWS = 50
_LISTED = ("name", "version", "description", "agent_id", "created_at")


def all_templates(target: Target, name: str | None) -> list[dict[str, Any]]:
    """Every version, of one template or of all, without their definitions.

    Raises:
        CommandError: no daemon, or a refusal.
    """
    import trio

    async def main() -> list[dict[str, Any]]:
        async with connect(target) as connection:
            return await _gather(connection, {"name": name} if name is not None else {})

    return trio.run(main)


async def _gather(connection: Connection, by: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"cursor": None}
    rows = _PAGE_ROWS
    while "cursor" in page:
        cursor = {} if page["cursor"] is None else {"cursor": page["cursor"]}
        wanted = {"resource": "templates", "filter": {**by, **cursor, "limit": rows}}
        try:
            page = await connection.call("opcode.query", wanted)
        except CommandError as error:
            if error.code != "TOO_LARGE" or rows == 1:
                raise
            rows = max(1, rows // 4)  # definitions are large: fewer of them fit into one answer
            continue
        found += [{key: row[key] for key in _LISTED if key in row} for row in page["templates"]]
    return found


def the_template(target: Target, name: str, version: str | None) -> dict[str, Any]:
    """One version whole, the latest when none is named.

    Raises:
        CommandError: no daemon, or there is no such template.
    """
    from opcode_runtime.cli.calls import Call, perform

    by = {"name": name, "limit": 1} | ({} if version is None else {"version": version})
    answer = perform(target, Call("opcode.query", {"resource": "templates", "filter": by}))
    found: list[dict[str, Any]] = answer["templates"]
    if not found:
        raise CommandError(
            f"There is no template {name if version is None else f'{name}@{version}'}.",
            Exit.FAILED,
            code="NOT_FOUND",
            next="`opcode template list` shows what is defined.",
        )
    return found[0]


def remove_template(
    target: Target, name: str, version: str | None, *, agent_id: str
) -> dict[str, Any]:
    """Take one version out of use, or all.

    Raises:
        CommandError: no daemon, or a refusal: nothing to remove, or a workflow that has not ended uses it.
    """
    import trio

    asked = {"name": name, "agent_id": agent_id} | ({} if version is None else {"version": version})
    return trio.run(delete, target, "/templates", asked)
