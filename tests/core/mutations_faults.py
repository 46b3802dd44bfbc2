"""Changes that make a definition faulty: of one step, of its expressions, of the whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from opcode_runtime.core.validation.shape import TABLES
from tests.core.mutations import Json, camel, changed, renamed, typo, without

Undo = Iterator[Any]


# Changes of one step ------------------------------------------------------------------------------


def hoisted_config(step: Json, steps: list[Json]) -> Undo:
    inner = step.get("config")
    if inner and not set(inner) & set(step):
        del step["config"]
        step.update(inner)
        yield


def hoisted_params(step: Json, steps: list[Json]) -> Undo:
    inner = step.get("params")
    if inner and not set(inner) & set(TABLES["step"]):
        del step["params"]
        step.update(inner)
        yield


def params_as_config(step: Json, steps: list[Json]) -> Undo:
    if step.get("params"):
        yield from renamed(step, "params", "config")


def action_as_type(step: Json, steps: list[Json]) -> Undo:
    if "action" in step:
        step["type"] = step.pop("action")
        yield


def no_type(step: Json, steps: list[Json]) -> Undo:
    if "type" in step:
        yield from without(step, "type")


def no_id(step: Json, steps: list[Json]) -> Undo:
    if "id" in step:
        yield from without(step, "id")


def twice_the_id(step: Json, steps: list[Json]) -> Undo:
    if len(steps) > 1 and step is not steps[0]:
        yield from changed(step, "id", steps[0]["id"])


def body_as_object(step: Json, steps: list[Json]) -> Undo:
    config = step.get("config", {})
    for key in ("body", "default"):
        if config.get(key):
            yield from changed(config, key, config[key][0])
    branches = config.get("branches", {})
    for key in list(branches) if isinstance(branches, dict) else range(len(branches)):
        if branches[key]:
            yield from changed(branches, key, branches[key][0])


def body_by_ids(step: Json, steps: list[Json]) -> Undo:
    config = step.get("config", {})
    if "body" in config:
        yield from changed(config, "body", by_ids(config["body"]))


def by_ids(steps: list[Json]) -> Json:
    return {step["id"]: {key: step[key] for key in step if key != "id"} for step in steps}


def flat_branches(step: Json, steps: list[Json]) -> Undo:
    branches = step.get("config", {}).get("branches")
    if isinstance(branches, list):
        yield from changed(step["config"], "branches", [each[0] for each in branches])
        named = {f"b{at}": each for at, each in enumerate(branches)}
        yield from changed(step["config"], "branches", named)


def listed_cases(step: Json, steps: list[Json]) -> Undo:
    branches = step.get("config", {}).get("branches")
    if isinstance(branches, dict):
        cases = [{"case": key, "steps": each} for key, each in branches.items()]
        yield from changed(step["config"], "branches", cases)


def text_options(step: Json, steps: list[Json]) -> Undo:
    options = step.get("config", {}).get("options")
    if options:
        names = [option["id"] for option in options]
        yield from changed(step["config"], "options", names)
        yield from changed(step["config"], "options", dict.fromkeys(names, "do it"))
        yield from changed(step["config"], "options", [*options, options[0]])


def self_dependency(step: Json, steps: list[Json]) -> Undo:
    if "depends_on" in step:
        yield from changed(step, "depends_on", [*step["depends_on"], step["id"]])


def double_dependency(step: Json, steps: list[Json]) -> Undo:
    if "depends_on" in step:
        yield from changed(step, "depends_on", [*step["depends_on"], step["depends_on"][0]])


def back_dependency(step: Json, steps: list[Json]) -> Undo:
    """The first step waits for the last."""
    last = steps[-1] if steps else step
    if step is (steps or [None])[0] and last.get("depends_on") and "depends_on" not in step:
        step["depends_on"] = [last["id"]]
        yield


def outer_dependency(step: Json, steps: list[Json]) -> Undo:
    """The steps of a body wait for what the step around them waits for."""
    for key in ("body", "default"):
        for inner in step.get("config", {}).get(key, ()):
            if "depends_on" in step and "depends_on" not in inner:
                inner["depends_on"] = list(step["depends_on"])
                yield
                del inner["depends_on"]


def inner_dependency(step: Json, steps: list[Json]) -> Undo:
    """Whoever waits for a step with branches waits for a step inside of it instead."""
    for name in step.get("depends_on", ()):
        holder = next(other for other in steps if other["id"] == name)
        branches = holder.get("config", {}).get("branches", {})
        lists = list(branches.values()) if isinstance(branches, dict) else branches
        inner = [each["id"] for steps in lists for each in steps]
        if inner:
            yield from changed(step, "depends_on", [inner[0]])


def prefixed_dependency(step: Json, steps: list[Json]) -> Undo:
    for form in ("steps.{}", "${{{{steps.{}}}}}", "{}.output"):
        if "depends_on" in step:
            yield from changed(
                step, "depends_on", [form.format(each) for each in step["depends_on"]]
            )


def dotted_id(step: Json, steps: list[Json]) -> Undo:
    if "-" in step["id"]:
        yield from changed(step, "id", step["id"].replace("-", "."))
        yield from changed(step, "id", step["id"].replace("-", "/"))


def config_on_action(step: Json, steps: list[Json]) -> Undo:
    if "action" in step:
        step["config"] = {"colour": "red"}
        yield


def wait_timeout(step: Json, steps: list[Json]) -> Undo:
    if "duration" in step.get("config", {}):
        yield from renamed(step["config"], "duration", "timeout")


def loop_condition_as_guard(step: Json, steps: list[Json]) -> Undo:
    if step.get("config", {}).get("mode") in {"while", "until"} and "condition" not in step:
        step["condition"] = step["config"].pop("condition")
        yield


def null_key(step: Json, steps: list[Json]) -> Undo:
    for key in ("params", "depends_on", "idempotent"):
        step.setdefault(key, None)
        if step[key] is None:
            yield
            del step[key]


def misplaced_in_config(step: Json, steps: list[Json]) -> Undo:
    for key in ("depends_on", "on_error"):
        if key in step and "config" in step:
            value = step.pop(key)
            step["config"][key] = value
            yield
            del step["config"][key]
            step[key] = value


# Changes of expressions ---------------------------------------------------------------------------


def unclosed(text: str) -> str | None:
    return text.replace("}}", "", 1) if text.endswith("}}") and text.count("}}") == 1 else None


def half_closed(text: str) -> str | None:
    return text.replace("}}", "}", 1) if text.count("}}") == 1 else None


def _at(text: str, found: re.Match[str]) -> str:
    return text[: found.start(1)] + typo(found[1]) + text[found.end(1) :]


def misnamed_step(text: str) -> str | None:
    found = re.search(r"steps(?:\.|\[')([\w-]+)", text)
    return _at(text, found) if found else None


def misnamed_input(text: str) -> str | None:
    found = re.search(r"inputs\.(\w+)", text)
    return _at(text, found) if found else None


def singular(text: str) -> str | None:
    return re.sub(r"\b(step|input)s(?=[.\[])", r"\1", text)


def no_namespace(text: str) -> str | None:
    return re.sub(r"\bsteps\.(?=[a-z]+[-.])", "", text)


def python_words(text: str) -> str | None:
    return text.replace("&&", "and").replace("||", "or")


def single_equals(text: str) -> str | None:
    return text.replace("==", "=")


def triple_equals(text: str) -> str | None:
    return text.replace("==", "===")


def unbalanced(text: str) -> str | None:
    return text.replace("]", "", 1) if text.count("]") == 1 and "${{" not in text else None


def unquoted(text: str) -> str | None:
    return text[:-1] if text.endswith("'") else None


def nonsense(text: str) -> str | None:
    return text.replace("steps", "1 +* 2 steps", 1)


# Changes of a definition --------------------------------------------------------------------------


def top_typos(definition: Json) -> Iterator[Any]:
    for key in list(definition):
        yield from renamed(definition, key, typo(key))


def top_camel(definition: Json) -> Iterator[Any]:
    for key in list(definition):
        if camel(key) != key:
            yield from renamed(definition, key, camel(key))


def titled(definition: Json) -> Iterator[Any]:
    yield {"name": "x", "description": "y", "version": 2} | definition


def wrapped(definition: Json) -> Iterator[Any]:
    yield {"name": "x", "definition": definition, "input_schema": {}}


def steps_by_ids(definition: Json) -> Iterator[Any]:
    yield definition | {"steps": by_ids(definition["steps"])}


def top_values(key: str, *others: Any) -> Callable[[Json], Iterator[Any]]:
    def change(definition: Json) -> Iterator[Any]:
        if key in definition:
            yield from ({**definition, key: other} for other in others)

    return change


def no_steps(definition: Json) -> Iterator[Any]:
    yield definition | {"steps": []}


def a_step_less(definition: Json) -> Iterator[Any]:
    """A step that others wait for is gone."""
    needed = {name for step in definition["steps"] for name in step.get("depends_on", ())}
    for name in sorted(needed):
        yield definition | {"steps": [step for step in definition["steps"] if step["id"] != name]}


def too_deep(definition: Json) -> Iterator[Any]:
    inner = definition["steps"]
    for level in range(9):
        inner = [{"id": f"l{level}", "type": "parallel", "config": {"branches": [inner]}}]
    yield definition | {"steps": inner, "output": None}


def in_text(value: Any, change: Callable[[str], Any]) -> Iterator[Any]:
    if isinstance(value, str):
        yield change(value)


def spelled(value: Any) -> Iterator[Any]:
    """A duration in other words."""
    found = re.fullmatch(r"(\d+)([smh])", value)
    if found:
        number, unit = int(found[1]), {"s": "seconds", "m": "minutes", "h": "hours"}[found[2]]
        yield f"{number} {unit}"
        yield f"{number} {found[2]}"
        yield f"PT{number}{found[2].upper()}"
        if found[2] == "s":
            yield number


def param_typos(step: Json, steps: list[Json]) -> Undo:
    required = {
        "url",
        "path",
        "content",
        "command",
        "message",
        "data",
        "expected",
        "expression",
        "src",
    }
    for key in list(step.get("params", {})):
        if key in required and step["action"] != "workflow.log":
            yield from renamed(step["params"], key, typo(key))


def no_strategy(step: Json, steps: list[Json]) -> Undo:
    if "fallback_step" in step.get("on_error", {}):
        yield from without(step["on_error"], "strategy")


def no_branches(step: Json, steps: list[Json]) -> Undo:
    if isinstance(step.get("config", {}).get("branches"), list):
        yield from changed(step["config"], "branches", [])


def no_params(step: Json, steps: list[Json]) -> Undo:
    if "message" not in (step.get("params") or {"message"}):
        yield from without(step, "params")


def number_id(step: Json, steps: list[Json]) -> Undo:
    if step["id"] == "done":
        yield from changed(step, "id", 7)
