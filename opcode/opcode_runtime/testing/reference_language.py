"""The reference pages about the language: the keys of a definition, and the two state machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opcode_runtime.core import fsm
from opcode_runtime.core.validation.shape import TABLES, Key
from opcode_runtime.testing import reference_language_words as words
from opcode_runtime.testing.reference_text import code, page, table, words_for


def definition() -> str:
    """The page of every key of a definition."""
    words_for(TABLES, words.TITLES, "tables of keys")
    parts: list[str] = []
    for name, keys in TABLES.items():
        words_for(keys, words.KEYS[name], f"keys of {name}")
        rows = _key_rows(name, keys)
        parts += [f"## {words.TITLES[name]}", table(("Key", "Value", "Meaning"), rows)]
    return page("Definition", words.EXAMPLE, *parts, *_ours(), words.DEFINITION_RULES)


def _key_rows(name: str, keys: dict[str, Key]) -> Iterator[tuple[str, str, str]]:
    for key, rule in keys.items():
        kind = words.KINDS[rule.kind]
        if rule.allowed:
            kind = ", ".join(code(value) for value in rule.allowed)
            kind += " or an object" if rule.table else ""
        required = " (required)" if rule.required else ""
        mark = " +" if key in words.OURS.get(name, ()) else ""
        yield code(key) + mark, kind + required, words.KEYS[name][key]


def _ours() -> tuple[str, str, str]:
    """Every key of ours, on one page.

    Raises:
        LookupError: a key that is called ours is none of the language.
    """
    rows: list[tuple[str, str]] = []
    for name, ours in words.OURS.items():
        if gone := ours - TABLES[name].keys():
            raise LookupError(f"keys of ours in {name}: {', '.join(sorted(gone))} are gone")
        listed = ", ".join(code(key) for key in TABLES[name] if key in ours)
        rows.append((words.TITLES[name], listed))
    return "## Keys of ours", words.OURS_RULE, table(("Where", "Keys"), rows)


def state_machines() -> str:
    """The page of the two tables of `core.fsm`."""
    return page(
        "State machines",
        "## Workflow",
        *_machine(fsm.WORKFLOW, words.WHEN_WORKFLOW),
        "## Step",
        "A pending step that only waits for its guard or for a slot is shown as `scheduled`.",
        *_machine(fsm.STEP, words.WHEN_STEP),
    )


def _machine(machine: Mapping[tuple[Any, str], Any], when: Mapping[str, str]) -> tuple[str, str]:
    shown = [
        (before.value, event, after.value)
        for (before, event), after in machine.items()
        if before.value != "scheduled"
    ]
    words_for((f"{a} {event}" for a, event, _ in shown), when, "changes of status")
    rows = [(code(a), code(event), code(b), when[f"{a} {event}"]) for a, event, b in shown]
    return _diagram(shown), table(("From", "Event", "To", "When"), rows)


def _diagram(moves: list[tuple[str, str, str]]) -> str:
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, event, after in moves:
        arrows.setdefault((before, after), []).append(event)
    drawn = [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    ends = {b for _, b in arrows} & {"completed", "failed", "cancelled", "skipped"}
    lines = [f"    {status} --> [*]" for status in sorted(ends)]
    begin = f"    [*] --> {moves[0][0]}"
    return "\n".join(["```mermaid", "stateDiagram-v2", begin, *drawn, *lines, "```"])
