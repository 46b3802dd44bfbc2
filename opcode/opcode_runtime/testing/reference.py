"""The reference pages, made from the tables that the code itself goes by.

python -m opcode_runtime.testing.reference            # write docs/reference, from the root of the project
python -m opcode_runtime.testing.reference --check    # say which pages are stale; exit code 1 if any is
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec

from opcode_runtime.actions import BUILTIN_ACTIONS, Action
from opcode_runtime.cli.app import Overrides, app
from opcode_runtime.cli.settings import ENVIRONMENT
from opcode_runtime.core.plan import CHILD_ACTION
from opcode_runtime.mcp import TOOLS, Tool
from opcode_runtime.model.durations import format_duration
from opcode_runtime.model.errors import MEANINGS, NOT_RETRYABLE, ErrorCode
from opcode_runtime.model.events import AnyEvent, Event
from opcode_runtime.model.settings import Limits, Settings
from opcode_runtime.testing import reference_words as words
from opcode_runtime.testing.reference_language import definition, state_machines
from opcode_runtime.testing.reference_text import code, page, table, type_words, words_for

FOLDER = Path("docs") / "reference"
WRITTEN_BY_HAND = frozenset({"conformance.md", "expressions.md", "workflow.md"})
"""Pages in that folder which are not made here; tests of their own keep them true."""


def pages() -> dict[str, str]:
    """Every page by file name.

    Raises:
        LookupError: a setting or key has no words yet, or words are left of one that is gone.
    """
    return {name: make().rstrip() + "\n" for name, make in _PAGES.items()}


def write(folder: Path) -> list[str]:
    """Write every page that is missing or stale; gives their names."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = stale(folder)
    made = pages()
    for name in changed:
        if name in made:
            (folder / name).write_text(made[name], "utf-8")
        else:
            (folder / name).unlink()
    return changed


def stale(folder: Path) -> list[str]:
    """The names of pages that are missing, differ from what the code says, or have no source any more."""
    made = pages()
    there = {
        path.name: path.read_text("utf-8")
        for path in folder.glob("*.md")
        if path.name not in WRITTEN_BY_HAND
    }
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def _errors() -> str:
    rows = (
        (code(each), "no" if each in NOT_RETRYABLE else "yes", MEANINGS[each]) for each in ErrorCode
    )
    return page(
        "Errors",
        table(("Code", "Tried again", "Meaning"), rows),
    )


def _settings() -> str:
    words_for(
        (field.name for field in msgspec.structs.fields(Settings)), words.SETTINGS, "settings"
    )
    words_for((field.name for field in msgspec.structs.fields(Limits)), words.LIMITS, "limits")
    variables = {setting: variable for variable, setting in ENVIRONMENT.items()}
    flags = {name: f"--{name.replace('_', '-')}" for name in Overrides.__dataclass_fields__}
    rows = (
        (
            code(field.name),
            type_words(field.type),
            _default(field),
            *(
                code(place[field.name]) if field.name in place else ""
                for place in (flags, variables)
            ),
            words.SETTINGS[field.name],
        )
        for field in msgspec.structs.fields(Settings)
    )
    limits = (
        (code(field.name), _default(field), words.LIMITS[field.name])
        for field in msgspec.structs.fields(Limits)
    )
    return page(
        "Settings",
        table(("Setting", "Type", "Default", "Flag", "Variable", "Meaning"), rows),
        "The data directory itself is `--data-dir`, else `OPCODE_HOME`, else `~/.opcode`.",
        "## Limits",
        "Whoever is refused because of one of these is told its name.",
        table(("Limit", "Default", "Bounds"), limits),
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    if value is msgspec.NODEFAULT or isinstance(value, msgspec.Struct):
        return ""
    return code(msgspec.json.encode(value).decode())


def _actions() -> str:
    index = (
        (f"[`{a.name}`](#{_anchor(a.name)})", a.spec.kind, a.spec.description)
        for a in BUILTIN_ACTIONS
    )
    return page(
        "Actions",
        table(("Action", "Kind", "What it does"), index),
        *(_action(each) for each in BUILTIN_ACTIONS),
    )


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _action(each: Action) -> str:
    spec = each.spec
    limit = format_duration(spec.timeout_s) if spec.timeout_s else "none"
    facts = (
        f"Kind `{spec.kind}`; deadline of an attempt: {limit}; interrupted: {_interrupted(each)}."
    )
    parts = [f"## {spec.name}", spec.description, facts, _schema_table("Parameter", spec.params)]
    if spec.output and spec.output.get("properties"):
        parts += ["It gives:", _schema_table("Field", spec.output)]
    return "\n\n".join(part for part in parts if part)


def _interrupted(each: Action) -> str:
    if each.name == CHILD_ACTION:
        return "goes on with the sub-workflow it has"
    if each.spec.kind != "effectful" or each.spec.on_interrupt is not None:
        return code(each.spec.on_interrupt or "retry")
    if each.interrupt_rule is not None:
        return "depends on its parameters"
    return "as the [general rule](definition.md#when-a-step-was-interrupted) says"


def _schema_table(head: str, schema: dict[str, Any] | None) -> str:
    if not schema or not schema.get("properties"):
        return ""
    required = schema.get("required", ())
    rows = (
        (
            code(name),
            _schema_type(rule) + (" (required)" if name in required else ""),
            _notes(rule),
        )
        for name, rule in schema["properties"].items()
    )
    return table((head, "Type", "Notes"), rows)


def _schema_type(rule: dict[str, Any]) -> str:
    if "enum" in rule:
        return ", ".join(code(value) for value in rule["enum"])
    if rule.get("x-duration"):
        return "duration"
    kinds = rule.get("type", "any")
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def _notes(rule: dict[str, Any]) -> str:
    bounds = {"minimum": "at least", "maximum": "at most", "default": "default"}
    said = [f"{text} `{json.dumps(rule[key])}`" for key, text in bounds.items() if key in rule]
    return " ".join([rule.get("description", ""), f"({', '.join(said)})" if said else ""]).strip()


def _events() -> str:
    kinds = get_args(AnyEvent)
    parts: list[str] = []
    for kind in kinds:
        rows = [
            (
                code(field.name),
                type_words(field.type),
                "yes" if field.required else f"no: {_default(field)}",
            )
            for field in msgspec.structs.fields(kind)
            if field.name not in Event.__struct_fields__
        ]
        parts += [f"## {_tag(kind)}", kind.__doc__ or ""]
        parts.append(
            table(("Field", "Type", "Always there"), rows) if rows else "No fields of its own."
        )
    return page(
        "Events",
        *parts,
    )


def _tag(kind: Any) -> str:
    return str(kind.__struct_config__.tag)


def _tools() -> str:
    return page(
        "MCP tools",
        *(_tool(tool) for tool in TOOLS.values()),
    )


def _tool(tool: Tool) -> str:
    hints = {
        "reads only": tool.read_only,
        "may destroy": tool.destructive,
        "may be repeated": tool.idempotent,
        "acts on the outside": tool.open_world,
    }
    said = ", ".join(hint for hint, holds in hints.items() if holds)
    schema = json.dumps(tool.input_schema, indent=2, ensure_ascii=False)
    return "\n\n".join(
        (
            f"## {tool.name}",
            tool.description,
            f"Annotations: {said or 'none'}.",
            _schema_table("Argument", tool.input_schema),
            f"<details><summary>Input schema</summary>\n\n```json\n{schema}\n```\n\n</details>",
        )
    )


def _cli() -> str:
    made = app.generate_docs(output_format="markdown", include_hidden=False)
    commands = made[made.index("## opcode ") :].replace("```console\nopcode", "```text\nopcode")
    # cyclopts adds how this very process was started to every usage line
    commands = re.sub(r"(?m)^(opcode(?: \w[\w-]*)+) -m \S+", r"\1", commands)
    return page("Command line", str(app.help_epilogue), commands)


_PAGES: dict[str, Callable[[], str]] = {
    "actions.md": _actions,
    "cli.md": _cli,
    "definition.md": definition,
    "errors.md": _errors,
    "events.md": _events,
    "settings.md": _settings,
    "state-machines.md": state_machines,
    "tools.md": _tools,
}


def main(argv: list[str] | None = None) -> int:
    """Write or compare the pages; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m opcode_runtime.testing.reference")
    parser.add_argument("--check", action="store_true", help="only say which pages are stale")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pages are")
    given = parser.parse_args(argv)
    changed = stale(given.folder) if given.check else write(given.folder)
    for name in changed:
        sys.stdout.write(f"{'stale' if given.check else 'written'}: {given.folder / name}\n")
    return 1 if given.check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
