"""What is drilled: the definitions of a workflow and of its sub-workflows, which of them is run, and with what.

A file holds one of these shapes:
- a bare definition, `{"steps": [...]}`, which is named after the file;
- one template, `{"name": ..., "definition": {...}, "input_schema": ..., "output_schema": ...}`;
- several: a list of such templates, `{"definitions": [...]}`, or an object from name to definition or template.
Of several, the one is run that no other one runs as its sub-workflow; where that is not one, the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class DrillError(Exception):
    """A drill cannot begin; the text says what is wrong with what it was given.

    Arguments:
        message: a sentence.
        next: what to do about it.
    """

    def __init__(self, message: str, *, next: str | None = None) -> None:  # noqa: A002 - as elsewhere
        super().__init__(message)
        self.message = message
        self.next = next


@dataclass(frozen=True, slots=True)
class Defined:
    """One version of a template, to be defined before anything is run."""

    name: str
    definition: Json
    input_schema: Json | None = None
    output_schema: Json | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """The whole of what is run: templates in the order in which they are defined, and one of them with its inputs."""

    templates: tuple[Defined, ...]
    name: str
    version: str | None = None
    params: Json = field(default_factory=dict)
    agent_id: str = "drill"


def subject_of(
    value: Any, stem: str, *, name: str | None = None, params: Json | None = None
) -> Subject:
    """Read a file's JSON as what is to be drilled.

    Arguments:
        stem: names a bare definition.
        name: which of several definitions is run.

    Raises:
        DrillError: it has none of the shapes above, or no definition is called `name`.
    """
    templates = tuple(_templates(value, stem))
    if not templates:
        raise DrillError("There is no definition in it.", next="Give one with `steps`.")
    names = [each.name for each in templates]
    if name is not None and name not in names:
        raise DrillError(
            f"There is no definition {name!r} in it.", next=f"It holds {', '.join(names)}."
        )
    return Subject(templates, name or _outermost(templates), params=params or {})


def _templates(value: Any, stem: str) -> Iterator[Defined]:
    if isinstance(value, dict) and isinstance(value.get("definitions"), list):
        value = value["definitions"]
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield _template(each, f"{stem}-{number + 1}")
    elif isinstance(value, dict) and ("steps" in value or "definition" in value):
        yield _template(value, stem)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield _template(each, name)
    else:
        raise DrillError("A definition is a JSON object with `steps`.")


def _template(value: Any, name: str) -> Defined:
    if not isinstance(value, dict):
        raise DrillError(f"Definition {name!r} is no JSON object.")
    if "steps" in value:
        return Defined(name, value)
    definition = value.get("definition")
    if not isinstance(definition, dict):
        raise DrillError(f"{name!r} has neither `steps` nor a `definition`.")
    return Defined(
        str(value.get("name", name)),
        definition,
        value.get("input_schema"),
        value.get("output_schema"),
    )


def _outermost(templates: tuple[Defined, ...]) -> str:
    called = {name for each in templates for name in names_run_by(each.definition)}
    free = [each.name for each in templates if each.name not in called]
    return free[0] if len(free) == 1 else templates[0].name


def names_run_by(value: Any) -> set[str]:
    """The templates that a definition runs as sub-workflows, as far as their names are fixed text."""
    if isinstance(value, list):
        return {name for each in value for name in names_run_by(each)}
    if not isinstance(value, dict):
        return set()
    found = {name for each in value.values() for name in names_run_by(each)}
    params = value.get("params")
    if value.get("action") == "workflow.run" and isinstance(params, dict):
        found.add(str(params.get("template_name", "")))
    return found
