"""Where secrets may stand in a definition, and how they travel from there to the attempt that needs them.

Rule 1: in `params` of an action, where its schema marks it (`x-secret`), and as the whole default of an input; anywhere
else a secret is an error when the workflow is defined.
Rule 2: what is journaled holds marks, `[secret:NAME]`, and beside the parameters the places of those marks that a
definition made. A mark in anybody's data is data.
Rule 3: an input whose default is a secret reads as its mark; only parameters of actions get the place along with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import msgspec

from opcode_runtime.actions import takes_secrets
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.expressions import Compiled, Scope, compile_template
from opcode_runtime.model.action import ActionSpec
from opcode_runtime.model.commands import Start
from opcode_runtime.model.errors import ErrorCode, OpcodeError, Problem
from opcode_runtime.model.secret_text import SecretPlace, SecretText, taken_apart
from opcode_runtime.model.state import WorkflowState


def misplaced_in_params(spec: ActionSpec, params: Any) -> list[Problem]:
    """The secrets in the parameters of an action that stand where its schema does not take any."""
    marked = ", ".join(sorted(_marked(spec))) or "none of its parameters"
    return [
        Problem(
            pointer,
            ErrorCode.VALIDATION_ERROR,
            f"a secret cannot stand here: {spec.name} takes secrets in {marked}",
        )
        for path, pointer, text in _strings(params, (), "")
        if not takes_secrets(spec, path) and _names_secret(text)
    ]


def misplaced_in_inputs(found: tuple[tuple[str, Compiled], ...], inputs: Any) -> list[Problem]:
    """The secrets under `inputs` that are not the whole of a default."""
    return [
        Problem(
            pointer,
            ErrorCode.VALIDATION_ERROR,
            "a secret can only be the whole default of an input: write ${{secrets.NAME}} and nothing around it",
        )
        for pointer, compiled in found
        if compiled.kind == "secret" and not _is_whole(pointer, inputs)
    ]


def named_in(definition: Any) -> dict[str, str]:
    """The secrets that a definition names, each with the pointer to where it is named first."""
    found: dict[str, str] = {}
    for _, pointer, text in _strings(definition, (), ""):
        for name in _names_in(text):
            found.setdefault(name, pointer)
    return found


def scope_with_references(scope: Scope, state: WorkflowState) -> Scope:
    """The scope in which parameters of actions are filled in: inputs that are secrets bring their places."""
    references = {name: SecretText.of(secret) for name, secret in state.secret_inputs.items()}
    scope = copy(scope)
    scope.inputs = {**scope.inputs, **references}
    return scope


def may_name_secrets(loaded: Loaded, state: WorkflowState, key: str) -> bool:
    """Whether the parameters of the step `key` have to be looked through for secrets."""
    if loaded.plan.steps[key].kind != "action":
        return False
    return bool(state.secret_inputs) or loaded.params[key].names_secrets


def start_apart(start: Start) -> Start:
    """The same start as it is journaled: plain parameters, and the places of secrets in them."""
    params, places = taken_apart(start.params)
    return msgspec.structs.replace(start, params=params, secrets=places)


def inputs_apart(inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Inputs as they are journaled, and the names of the secrets that some of them are."""
    secrets = {
        name: value.places[0][1] for name, value in inputs.items() if isinstance(value, SecretText)
    }
    return (taken_apart(inputs)[0], secrets) if secrets else (inputs, secrets)


def placed(spec: ActionSpec, places: tuple[SecretPlace, ...]) -> tuple[SecretPlace, ...]:
    """Those places that the action's schema marks; in the others the marks stay."""
    return tuple(place for place in places if takes_secrets(spec, _path(place[0])))


def _path(pointer: str) -> tuple[str | int, ...]:
    parts = (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def _strings(
    value: Any, path: tuple[str | int, ...], pointer: str
) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Every string that may name a secret: its path, its pointer, itself."""
    if isinstance(value, str):
        if "${{" in value and "secrets" in value:
            yield path, pointer, value
    elif isinstance(value, dict):
        for key, item in value.items():
            token = str(key).replace("~", "~0").replace("/", "~1")
            yield from _strings(item, (*path, key), f"{pointer}/{token}")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _strings(item, (*path, at), f"{pointer}/{at}")


def _names_secret(text: str) -> bool:
    return bool(_names_in(text))


def _names_in(text: str) -> list[str]:
    try:
        found = compile_template(text, takes_secrets=True).expressions
    except OpcodeError:
        return []  # the judge of expressions says what is wrong with it
    return [
        ".".join(map(str, keys))
        for _, each in found
        if each.kind == "secret"
        for _, keys in each.paths
    ]


def _is_whole(pointer: str, inputs: Any) -> bool:
    name = pointer[1:].replace("~1", "/").replace("~0", "~")
    if "/" in pointer[1:] or not isinstance(inputs, dict):
        return False
    text = inputs.get(name)
    return (
        isinstance(text, str)
        and text.startswith("${{")
        and text.endswith("}}")
        and text.count("${{") == 1
    )


def _marked(spec: ActionSpec) -> Iterator[str]:
    schema = spec.params or {}
    if schema.get("x-secret"):
        yield "all of them"
    for name, rule in schema.get("properties", {}).items():
        if isinstance(rule, dict) and rule.get("x-secret"):
            yield repr(name)
