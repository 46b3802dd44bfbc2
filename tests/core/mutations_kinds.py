"""The kinds of faults that agents make: keys of other languages, short forms, numbers as text, names that are off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.core import mutations_faults as faults
from tests.core.mutations import (
    Kind,
    camel,
    each_step,
    renames,
    texts,
    typo,
    values,
    whole,
    without,
)

LONG_AGO = "no name in the document is like it, so nobody but the author knows what was meant"
LOST = "what was taken away stands nowhere else in the document"


def words(*table: tuple[str, str]) -> Callable[[str], str]:
    other = dict(table)
    return lambda word: other.get(word, word)


def one(value: Any) -> Callable[[Any], Iterator[Any]]:
    return lambda _: iter((value,))


def first_typo(names: list[str]) -> Iterator[Any]:
    for at, name in enumerate(names):
        yield [*names[:at], typo(name), *names[at + 1 :]]


def in_typo(value: Any) -> Iterator[Any]:
    return faults.in_text(value, typo)


def in_capitals(value: Any) -> Iterator[Any]:
    return faults.in_text(value, str.upper)


# The table ----------------------------------------------------------------------------------------

_STEP_WORDS = words(
    ("depends_on", "needs"),
    ("condition", "when"),
    ("action", "uses"),
    ("params", "with"),
    ("on_error", "catch"),
)
_CONFIG_WORDS = words(
    ("expression", "switch"), ("over", "items"), ("branches", "cases"), ("options", "choices"),
    ("prompt_context", "prompt"), ("default", "otherwise"), ("body", "do"), ("fallback", "default"),
)  # fmt: skip
_ENUMS = (
    ("type",), ("on_interrupt",), ("retry", "backoff"), ("on_error", "strategy"), ("config", "mode"),
)  # fmt: skip
_DURATIONS = (("timeout",), ("retry", "delay"), ("config", "timeout"), ("config", "duration"))

STEP_KINDS = (
    Kind("a key of a step with a typo", each_step(renames((), typo))),
    Kind("a key of a step in camel case", each_step(renames((), camel))),
    Kind("a key of a step in the words of another language", each_step(renames((), _STEP_WORDS))),
    Kind("a key of a config with a typo", each_step(renames(("config",), typo))),
    Kind("a key of a config in camel case", each_step(renames(("config",), camel))),
    Kind("a key of a config in the words of another language", each_step(renames(("config",), _CONFIG_WORDS))),
    Kind("a key of retry with a typo", each_step(renames(("retry",), typo))),
    Kind("max_attempts for max", each_step(renames(("retry",), words(("max", "max_attempts"))))),
    Kind("a key of on_error with a typo", each_step(renames(("on_error",), typo))),
    Kind("a key of a probe with a typo", each_step(renames(("on_interrupt",), typo))),
    *(Kind(f"{'.'.join(path)} with a typo", each_step(values(path, in_typo))) for path in _ENUMS),
    *(Kind(f"{'.'.join(path)} in capitals", each_step(values(path, in_capitals))) for path in _ENUMS),
    *(Kind(f"{'.'.join(path)} in words", each_step(values(path, faults.spelled))) for path in _DURATIONS),
    Kind("an action with a typo", each_step(values(("action",), lambda v: iter((typo(v),))))),
    Kind("an action with an underscore", each_step(values(("action",), lambda v: iter((v.replace(".", "_"),))))),
    Kind("the end of an action alone", each_step(values(("action",), lambda v: iter((v.split(".")[1],))))),
    Kind("an action where the type belongs", each_step(faults.action_as_type)),
    Kind("a parameter with a typo", each_step(faults.param_typos)),
    Kind("parameters beside the action", each_step(faults.hoisted_params)),
    Kind("parameters under config", each_step(faults.params_as_config)),
    Kind("parameters as text", each_step(values(("params",), lambda v: iter((json.dumps(v),)) if v else iter(())))),
    Kind("config as text", each_step(values(("config",), lambda v: iter((json.dumps(v),))))),
    Kind("config beside the type", each_step(faults.hoisted_config)),
    Kind("config on an action", each_step(faults.config_on_action)),
    Kind("keys of the step in its config", each_step(faults.misplaced_in_config)),
    Kind("no type", each_step(faults.no_type)),
    Kind("no id", each_step(faults.no_id)),
    Kind("an id twice", each_step(faults.twice_the_id)),
    Kind("an id with a dot or a slash", each_step(faults.dotted_id)),
    Kind("an id that is a number", each_step(faults.number_id)),
    Kind("a dependency with a typo", each_step(values(("depends_on",), first_typo))),
    Kind("one dependency without its list", each_step(values(("depends_on",), lambda v: iter((v[0],))))),
    Kind("a dependency written as a reference", each_step(faults.prefixed_dependency)),
    Kind("a dependency on itself", each_step(faults.self_dependency)),
    Kind("a dependency twice", each_step(faults.double_dependency)),
    Kind("the first waits for the last", each_step(faults.back_dependency)),
    Kind("a dependency on a step outside", each_step(faults.outer_dependency)),
    Kind("a dependency on a step inside", each_step(faults.inner_dependency)),
    Kind("a fallback step with a typo", each_step(values(("on_error", "fallback_step"), lambda v: iter((typo(v),))))),
    Kind("a probe with a typo", each_step(values(("on_interrupt", "verify"), lambda v: iter((typo(v),))))),
    Kind("a fallback option with a typo", each_step(values(("config", "fallback"), lambda v: iter((typo(v),))))),
    Kind("on_error as a word", each_step(values(("on_error",), lambda v: iter(list(v.values())[-1:])))),
    Kind("on_error without its strategy", each_step(faults.no_strategy)),
    Kind("retry as a number", each_step(values(("retry",), lambda v: iter((v["max"], str(v["max"])))))),
    Kind("a number as text", each_step(values(("retry", "max"), lambda v: iter((str(v), float(v), -1))))),
    Kind("a bound as text", each_step(values(("config", "max_iter"), lambda v: iter((str(v), -1))))),
    Kind("a truth as text", each_step(values(("idempotent",), lambda v: iter(("true", "yes", 1))))),
    Kind("a share as per cent", each_step(values(("retry", "jitter"), lambda v: iter((50, "50%", "0.5"))))),
    Kind("a body that is one step", each_step(faults.body_as_object)),
    Kind("a body by ids", each_step(faults.body_by_ids)),
    Kind("branches that are steps", each_step(faults.flat_branches)),
    Kind("branches as a list of cases", each_step(faults.listed_cases)),
    Kind("options as words", each_step(faults.text_options)),
    Kind("what to inject as a list", each_step(values(("config", "data_inject"), lambda v: iter((list(v.values()),))))),
    Kind("a wait for a timeout", each_step(faults.wait_timeout)),
    Kind("the test of a loop as a guard", each_step(faults.loop_condition_as_guard)),
    Kind("null for what may be left out", each_step(faults.null_key)),
)  # fmt: skip

TEXT_KINDS = (
    Kind("}} is missing", each_step(texts(("template",), faults.unclosed))),
    Kind("} for }}", each_step(texts(("template",), faults.half_closed))),
    Kind(
        "a step with a typo in an expression",
        each_step(texts(("template", "guard"), faults.misnamed_step)),
    ),
    Kind(
        "an input with a typo in an expression",
        each_step(texts(("template", "guard"), faults.misnamed_input)),
    ),
    Kind("step for steps", each_step(texts(("template", "guard"), faults.singular))),
    Kind("a step without steps", each_step(texts(("template", "guard"), faults.no_namespace))),
    Kind("and, or", each_step(texts(("guard",), faults.python_words))),
    Kind("= for ==", each_step(texts(("guard",), faults.single_equals))),
    Kind("=== for ==", each_step(texts(("guard",), faults.triple_equals))),
    Kind("a bracket that stays open", each_step(texts(("guard",), faults.unbalanced))),
    Kind("a quote that stays open", each_step(texts(("guard",), faults.unquoted))),
    Kind(
        "nonsense in an expression",
        each_step(texts(("template", "guard"), faults.nonsense)),
        "it never meant anything",
    ),
)

TOP_KINDS = (
    Kind("a key at the top with a typo", whole(faults.top_typos)),
    Kind("a key at the top in camel case", whole(faults.top_camel)),
    Kind("a name and a description at the top", whole(faults.titled)),
    Kind("a whole template", whole(faults.wrapped)),
    Kind("steps by ids", whole(faults.steps_by_ids)),
    Kind("on_timeout with a typo", whole(faults.top_values("on_timeout", "fial", "FAIL", "abort"))),
    Kind("the timeout in words", whole(faults.top_values("timeout", "5 minutes", 300, "00:05:00"))),
    Kind(
        "a truth at the top as text",
        whole(faults.top_values("timeout_includes_suspension", "true", 1)),
    ),
    Kind("recovery with a typo", whole(faults.top_values("recovery", "suspned", "Suspend"))),
    Kind(
        "min_isolation with a typo",
        whole(faults.top_values("min_isolation", "rlimit", "limits")),
    ),
)

LOST_KINDS = (
    Kind("no action", each_step(lambda s, _: without(s, "action") if "action" in s else iter(())), LOST),
    Kind("no parameters", each_step(faults.no_params), LOST),
    Kind("no config", each_step(
        lambda s, _: without(s, "config") if s.get("type") in {"loop", "condition", "parallel"} else iter(())), LOST),
    Kind("no expression", each_step(values(("config", "expression"), one(""))), LOST),
    Kind("an empty body", each_step(values(("config", "body"), one([]))), LOST),
    Kind("no branches", each_step(faults.no_branches), LOST),
    Kind("a step that is gone", whole(faults.a_step_less), LOST),
    Kind("no steps", whole(faults.no_steps), LOST),
    Kind("an unheard-of action", each_step(values(("action",), one("qqq.zzz"))), LONG_AGO),
    Kind("an unheard-of dependency", each_step(values(("depends_on",), one(["qqqqqq"]))), LONG_AGO),
    Kind("an unheard-of strategy", each_step(values(("on_error", "strategy"), one("qqqqqq"))), LONG_AGO),
    Kind("a duration that is none", each_step(values(("timeout",), one("soon"))), "no time is said"),
    Kind("nested too deeply", whole(faults.too_deep), "it has to be written in another way"),
)  # fmt: skip

KINDS = STEP_KINDS + TEXT_KINDS + TOP_KINDS + LOST_KINDS
