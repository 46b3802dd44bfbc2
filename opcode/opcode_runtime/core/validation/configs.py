"""What each type of step asks of its `config`, beyond keys and kinds."""

from __future__ import annotations

from typing import Any

from opcode_runtime.core.validation.findings import Findings, Patch, pointer, replace, shown
from opcode_runtime.core.validation.kinds import NOTHING, is_open
from opcode_runtime.core.validation.shape import TABLES, check_object
from opcode_runtime.core.validation.shorthands import slug, step_list
from opcode_runtime.model.durations import parse_duration_s


def check_config(
    found: Findings, where: str, config: dict[str, Any], kind: str, step: dict[str, Any]
) -> None:
    """Check the config of a step of type `kind`; the steps in it are checked as lists of their own."""
    strays = _strays(config, kind, step)
    for key in strays:
        at, place = where + pointer(key), _up(where) + pointer(key)
        found.error(
            at,
            f"{key!r} belongs to the step, beside its 'config'",
            did_you_mean=key,
            patch=[{"op": "move", "from": at, "path": place}],
        )
    bad = check_object(found, where, config, kind, skip=strays)
    good = {key: value for key, value in config.items() if key not in bad and value is not None}
    _RULES[kind](found, where, good, bad, step)


def _strays(config: dict[str, Any], kind: str, step: dict[str, Any]) -> list[str]:
    """Keys of a step that stand in its config."""
    ours, theirs = TABLES[kind], TABLES["step"]
    return [key for key in config if key in theirs and key not in ours and key not in step]


def _up(where: str) -> str:
    return where.rsplit("/", 1)[0]


def _condition(
    found: Findings, where: str, good: dict[str, Any], bad: set[str], step: dict[str, Any]
) -> None:
    expression = good.get("expression")
    if isinstance(expression, str) and not expression.strip():
        found.error(where + pointer("expression"), "a condition needs an 'expression'")
    if isinstance(branches := good.get("branches"), dict):
        for key, steps in branches.items():
            _check_list(found, where + pointer("branches", key), steps)
        _check_truth_keys(found, where, branches)
        _check_default(found, where, branches, good.get("default"))


def _check_truth_keys(found: Findings, where: str, branches: dict[str, Any]) -> None:
    """`True` never matches: a boolean's branch is called `true`."""
    for key in branches:
        low = key.lower()
        if low in {"true", "false"} and key != low:
            move = [
                {
                    "op": "move",
                    "from": where + pointer("branches", key),
                    "path": where + pointer("branches", low),
                }
            ]
            found.warning(
                where + pointer("branches", key),
                f"branch {key!r} is taken for the text {key!r} only; for a boolean write {low!r}",
                did_you_mean=low,
                patch=move if low not in branches else None,
            )


def _check_default(found: Findings, where: str, branches: dict[str, Any], default: Any) -> None:
    """A branch called `default` and the default share their paths, so they may not share ids."""
    named = branches.get("default")
    if not isinstance(named, list) or not isinstance(default, list):
        return
    ids = {step["id"] for step in named if isinstance(step, dict) and _is_text(step.get("id"))}
    for index, step in enumerate(default):
        if isinstance(step, dict) and _is_text(step.get("id")) and step["id"] in ids:
            at = where + pointer("default", index, "id")
            found.error(
                at,
                f"id {step['id']!r} is also used in the branch called 'default'",
                patch=replace(at, f"{step['id']}-2"),
            )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _loop(
    found: Findings, where: str, good: dict[str, Any], bad: set[str], step: dict[str, Any]
) -> None:
    if good.get("body") == []:
        found.error(where + pointer("body"), "a loop needs at least one step in its 'body'")
    mode = good.get("mode", "for_each")
    if "mode" in bad:
        return
    if mode == "for_each" and "over" not in good and "over" not in bad:
        _say_no_over(found, where, good)
    if mode in {"while", "until"} and not good.get("condition") and "condition" not in bad:
        _say_no_test(found, where, mode, step)


def _say_no_over(found: Findings, where: str, good: dict[str, Any]) -> None:
    """A loop with a condition and nothing to go over was meant as a `while`."""
    patch: Patch | None = None
    if good.get("condition"):
        patch = [{"op": "add", "path": where + pointer("mode"), "value": "while"}]
    found.error(
        where,
        "a loop of mode for_each needs 'over': an expression or a list",
        did_you_mean="while" if patch else None,
        patch=patch,
    )


def _say_no_test(found: Findings, where: str, mode: str, step: dict[str, Any]) -> None:
    patch: Patch | None = None
    if isinstance(step.get("condition"), str):
        origin = _up(where) + pointer("condition")
        patch = [{"op": "move", "from": origin, "path": where + pointer("condition")}]
    found.error(where, f"a loop of mode {mode} needs a 'condition'", patch=patch)


def _parallel(
    found: Findings, where: str, good: dict[str, Any], bad: set[str], step: dict[str, Any]
) -> None:
    branches = good.get("branches")
    at = where + pointer("branches")
    if branches == []:
        found.error(at, "a parallel needs at least one branch")
    if not isinstance(branches, list) or not branches:
        return
    if all(isinstance(each, dict) for each in branches):
        lists = [_as_list(each) for each in branches]
        patch = None if NOTHING in lists else replace(at, lists)
        found.error(at, "each branch must be a list of steps", patch=patch)
        return
    for index, steps in enumerate(branches):
        _check_list(found, at + pointer(index), steps)


def _as_list(steps: Any) -> Any:
    """What stands where a list of steps belongs, as one, or NOTHING."""
    if isinstance(steps, dict) and isinstance(steps.get("steps"), list):
        return steps["steps"]
    return [] if steps is None else step_list(steps)


def _check_list(found: Findings, where: str, steps: Any) -> None:
    """A branch must be a list of steps."""
    if isinstance(steps, list):
        return
    guess = _as_list(steps)
    patch = None if guess is NOTHING else replace(where, guess)
    found.error(where, "a branch must be a list of steps", patch=patch)


def _wait(
    found: Findings, where: str, good: dict[str, Any], bad: set[str], step: dict[str, Any]
) -> None:
    if good.get("duration") and good.get("signal"):
        found.warning(
            where + pointer("signal"),
            "a wait with 'duration' and 'signal' waits for the duration; the signal means nothing",
        )
    if not good.get("duration") and not good.get("signal") and not bad & {"duration", "signal"}:
        _say_nothing_awaited(found, where, step)


def _say_nothing_awaited(found: Findings, where: str, step: dict[str, Any]) -> None:
    patch: Patch | None = None
    if isinstance(step.get("timeout"), str):
        origin = _up(where) + pointer("timeout")
        patch = [{"op": "move", "from": origin, "path": where + pointer("duration")}]
    found.error(where, "a wait needs a 'duration' or a 'signal'", patch=patch)


def _reasoning(
    found: Findings, where: str, good: dict[str, Any], bad: set[str], step: dict[str, Any]
) -> None:
    options = good.get("options")
    if isinstance(options, list):
        ids = _check_options(found, where + pointer("options"), options)
        _check_fallback(found, where, good.get("fallback"), ids)
    _warn_of_timeout(found, where, good.get("timeout"), step.get("timeout"))


def _check_options(found: Findings, where: str, options: list[Any]) -> list[str]:
    """Check the options and return their ids."""
    ids: dict[str, int] = {}
    for index, option in enumerate(options):
        at = where + pointer(index)
        if not isinstance(option, dict):
            patch = replace(at, {"id": str(option)}) if isinstance(option, str | int) else None
            found.error(at, "an option must be an object with an 'id'", patch=patch)
            option = {"id": option}  # noqa: PLW2901 - judged as it was meant
        else:
            check_object(found, at, option, "option")
        if isinstance(name := option.get("id"), str):
            _check_option_id(found, at + pointer("id"), name, option, ids)
            ids.setdefault(name, index)
    return list(ids)


def _check_option_id(
    found: Findings, at: str, name: str, option: dict[str, Any], ids: dict[str, int]
) -> None:
    if not name:
        guess = slug(str(option.get("description") or ""))
        found.error(at, "an option needs an 'id'", patch=replace(at, guess) if guess else None)
    elif name in ids:
        first = f"options[{ids[name]}]"
        found.error(
            at,
            f"option {shown(name)} is there twice (first at {first})",
            patch=[{"op": "remove", "path": _up(at)}],
        )


def _check_fallback(found: Findings, where: str, fallback: Any, ids: list[str]) -> None:
    """A fallback must be one of the options, if there are any."""
    if not isinstance(fallback, str) or not fallback or not ids or fallback in ids:
        return
    if any(map(is_open, (fallback, *ids))):
        return
    found.wrong_value(where + pointer("fallback"), fallback, ids)


def _warn_of_timeout(found: Findings, where: str, inner: Any, outer: Any) -> None:
    longer = seconds_of(inner), seconds_of(outer)
    if longer[0] and longer[1] and longer[0] > longer[1]:
        found.warning(
            where + pointer("timeout"),
            f"the decision's timeout {inner} is longer than the step's, {outer}: the smaller counts",
        )


def seconds_of(value: Any) -> float:
    """A duration in seconds; 0 when it is none, or not known yet."""
    if not isinstance(value, str) or is_open(value):
        return 0.0
    try:
        return parse_duration_s(value)
    except ValueError:
        return 0.0


_RULES = {
    "condition": _condition,
    "loop": _loop,
    "parallel": _parallel,
    "wait": _wait,
    "reasoning": _reasoning,
}
