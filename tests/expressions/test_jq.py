"""jq: read without jq, evaluated by jq. Programs in tests are trusted, so that here jq itself may read them too."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import jq
import pytest

import opcode_runtime
from opcode_runtime.expressions import (
    BudgetExceeded,
    compile_jq,
    evaluate,
    jq_input,
    run_jq,
)
from opcode_runtime.expressions._jq_names import JQ_FUNCTIONS, JQ_INPUT_UNUSED
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from tests.expressions.jq_generator import program

PROGRAMS = [
    json.loads(line)
    for line in Path(__file__).with_name("jq_programs.txt").read_text("utf-8").splitlines()
]
EVERYTHING = {"inputs", "steps", "context", "workflow", "loop"}


def verdict_of_jq(text):
    try:
        jq.compile(text)
    except (ValueError, UnicodeEncodeError) as error:
        return str(error)
    return None


def verdict_of_ours(text):
    try:
        compile_jq(text)
    except OpcodeError as error:
        return error.message
    return None


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_is_accepted_where_jq_accepts_it(text):
    ours, theirs = verdict_of_ours(text), verdict_of_jq(text)
    assert (ours is None) is (theirs is None), (ours, theirs)


def test_random_programs_are_accepted_where_jq_accepts_them():
    random = Random(20261121)
    accepted = 0
    for _ in range(1500):
        text = program(random)
        ours, theirs = verdict_of_ours(text), verdict_of_jq(text)
        stricter = ours is not None and ("there is no" in ours or "no function" in ours)
        if theirs is None and stricter:
            continue  # jq never looks into a function that is never called
        assert (ours is None) is (theirs is None), (text, ours, theirs)
        accepted += ours is None
    assert accepted > 300


def test_every_function_of_jq_is_known_but_the_one_that_opens_files():
    constants = {"true/0", "false/0", "null/0"}
    listed = set(jq.compile("builtins").input_value(None).first())
    assert listed - {"modulemeta/0"} == JQ_FUNCTIONS - constants
    assert JQ_INPUT_UNUSED <= JQ_FUNCTIONS


@pytest.mark.parametrize("name", sorted(JQ_INPUT_UNUSED))
def test_a_function_said_to_leave_its_input_alone_does(name):
    function, count = name.split("/")
    call = function + (f"({';'.join(['1'] * int(count))})" if count != "0" else "")
    results = [
        repr(jq.compile(f"[limit(3; {call} | tostring[:8])]? // 0").input_value(value).all())
        for value in (None, {"a": 1}, [1])
    ]
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    "text", ['import "a" as a; .', 'include "a"; .', "module {}; .", '"a" | modulemeta']
)
def test_what_opens_files_is_refused(text):
    with pytest.raises(OpcodeError, match="opens files") as caught:
        compile_jq(text)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR


def test_reading_a_program_neither_loads_jq_nor_works_anything_out():
    code = (
        "import sys; from opcode_runtime.expressions import *\n"
        "compile_jq('\"a\" * 3e8 | length'); compile_over('.inputs.x | map(. + 1)')\n"
        "assert 'jq' not in sys.modules"
    )
    path = str(Path(opcode_runtime.__path__[0]).parent)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": path})


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (".a[", 4, "ends too early"),
        (".a | nope", 6, "no function 'nope'"),
        ("limit(1)", 1, "takes 2 arguments, not 1"),
        ("map(.a; .b)", 1, "takes 1 arguments, not 2"),
        (".a + $x", 6, "no variable '$x'"),
        ("break $out", 1, "no label '$out'"),
        ('"abc', 5, "never closed"),
        ('"a\\qb"', 3, "no such escape"),
        (".a == 1 == 2", 9, "did not expect '=='"),
        (".steps.a-b", 10, "no function 'b'"),
        (".é", 2, "did not expect 'é'"),
        (". \x00", 3, "no character"),
        ('"\ud800"', 2, "no character"),
        ("", 1, "ends too early"),
        ("[" * 60 + "]" * 60, 51, "nested deeper"),
        ("try " * 60 + ".", None, "nested deeper"),
        ("." + " " * 20_000, 1, "at most"),
    ],
)
def test_what_is_wrong_as_written_is_said_with_its_place(text, column, message):
    with pytest.raises(OpcodeError, match=message.replace("$", r"\$")) as caught:
        compile_jq(text)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.details is not None
    assert column is None or caught.value.details["column"] == column


PARTS = [
    (".steps.fetch.items", {"steps.fetch"}),
    ('.steps["fetch-all"].items | map(.id)', {"steps.fetch-all"}),
    ('."inputs"."x"', {"inputs.x"}),
    ('.["inputs"]["x"]', {"inputs.x"}),
    (".inputs?.x?", {"inputs.x"}),
    ("[.inputs.items[] | select(.ok)]", {"inputs.items"}),
    ("{inputs}", {"inputs"}),
    ("{a: .inputs.x, b: .steps.y}", {"inputs.x", "steps.y"}),
    (".steps[]", {"steps"}),
    (".steps[.inputs.which]", {"steps", "inputs.which"}),
    ('.steps["a\\u0062"]', {"steps"}),
    (".loop.item", {"loop.item"}),
    (".inputs | .steps", {"inputs"}),
    ("[range(.inputs.n)]", {"inputs.n"}),
    ("any(.inputs.l[]; . > 3)", {"inputs.l"}),
    ("first(.steps.a[])", {"steps.a"}),
    (".inputs.x as $x | .steps.b | map(. + $x)", {"inputs.x", "steps.b"}),
    ("if .inputs.a then .inputs.b else .inputs.c end", {"inputs.a", "inputs.b", "inputs.c"}),
    ("reduce .inputs.l[] as $i (0; . + $i)", {"inputs.l"}),
    ('@base64 "\\(.inputs.a)"', {"inputs.a"}),
    ("try .inputs.a catch .", {"inputs.a"}),
    ("def inc: . + 1; .inputs.l | map(inc)", {"inputs.l"}),
    ("def f: .inputs.x; f", {"inputs.x"}),
    ("def f(g): .inputs.y | g; f(.x)", {"inputs.y"}),
    ("def map(f): .inputs.q; map(.steps.z)", {"inputs.q", "steps.z"}),
    ("label $out | .inputs.x | ., break $out", {"inputs.x"}),
    ("1, $ENV, env", set()),
]
USES_ALL = [
    *(".", "keys", "..", ".[]", "@json", "to_entries", "path(..)", ". as $all | 1", "map(.x)"),
    *(".inputs.x = 1", "if .inputs.a then 1 end", "reduce 1 as $i (.; 1)", "[.inputs.a, .]"),
    *("def inc: . + 1; inc", "def f(g): g; f(.)", '"\\(.)"', ".[.inputs.n]", "{(.inputs.k): .}"),
    *("def f: def g: .; g; f", "first(.)", ". | .inputs", 'getpath(["inputs"])', "try . catch 1"),
]


@pytest.mark.parametrize(("text", "parts"), PARTS)
def test_a_program_touches_what_it_can_be_seen_to_name(text, parts):
    compiled = compile_jq(text)
    assert {".".join((root, *keys)) for root, keys in compiled.paths} == parts
    assert compiled.roots.unknown == frozenset()


@pytest.mark.parametrize("text", USES_ALL)
def test_a_program_of_any_other_shape_touches_everything(text):
    compiled = compile_jq(text)
    assert {root for root, keys in compiled.paths if not keys} == EVERYTHING
    assert compiled.roots.whole == EVERYTHING
    assert compiled.roots.unknown == frozenset()
    assert "loop" not in compiled.roots.namespaces


@pytest.mark.parametrize("text", [text for text, _ in PARTS] + USES_ALL)
def test_what_a_program_is_not_given_makes_no_difference(text):
    whole = {
        "inputs": {"x": [1], "y": {"x": 2}, "items": [{"ok": True}], "which": "a", "n": 2}
        | {"l": [5], "a": "é", "b": 1, "c": 2, "k": "k", "q": [3]},
        "steps": {"fetch": {"items": [1]}, "fetch-all": {"items": [{"id": 1}]}, "a": [1], "b": [2]},
        "context": {"secret": 1},
        "workflow": {"run_id": "w"},
        "loop": {"item": 1, "index": 0},
    }
    given = {}
    for root, keys in compile_jq(text).paths:
        part = whole[root] if not keys else {key: whole[root].get(key) for key in keys}
        given.setdefault(root, {}).update(part)
    assert outcome(text, given) == outcome(text, whole)


def outcome(text, given):
    try:
        return run_jq(text, given)
    except OpcodeError as error:
        return error.message


def test_roots_say_what_a_program_names():
    roots = compile_jq('.steps["a-b"].x, .inputs.n, .context.c, .nope, .secrets.k, .steps[]').roots
    assert roots.namespaces == {"steps", "inputs", "context"}
    assert (roots.steps, roots.inputs, roots.context) == ({"a-b"}, {"n"}, {"c"})
    assert roots.unknown == {"nope", "secrets"}
    assert roots.whole == {"steps"}


def test_the_input_is_the_object_of_namespaces(scope_of):
    scope = scope_of(loop={"item": 7, "index": 0, "parent": None, "last": None})
    given = jq_input(compile_jq("."), scope)
    assert set(given) == EVERYTHING
    assert given["steps"]["route.true.deploy"] == {"ok": True, "choice": "sync"}
    assert given["steps"]["skipped"] is None
    assert given["loop"]["item"] == 7
    assert "loop" not in jq_input(compile_jq("."), scope_of())


def test_inputs_that_were_not_given_read_as_they_do_elsewhere(scope_of):
    declared = {"u": {"type": "string"}, "d": {"default": [1]}, "n": {}}
    scope = scope_of(inputs={"n": 2}, declared_inputs=declared)
    for text in (".inputs", ".inputs.u, .inputs.d, .inputs.n"):
        given = jq_input(compile_jq(text), scope)
        assert given == {"inputs": {"u": "", "d": [1], "n": 2}}


def test_what_is_not_there_is_null(scope_of):
    text = "[.steps.nope, .inputs.nope.x, .loop.item, .context.nope]"
    assert run_jq(text, jq_input(compile_jq(text), scope_of())) == [None] * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".inputs.l", [1, [2]]),
        (".inputs.l[]", [1, [2]]),
        (".inputs.l[1:]", [[2]]),
        ("empty", []),
        ("1", [1]),
        ("[[]]", [[]]),
        ("[], []", [[], []]),
        ("{a: 1}", [{"a": 1}]),
        ("1 # a comment", [1]),
        ("1 # one that goes on \\", [1]),
        ("def f: 2; f", [2]),
    ],
)
def test_one_array_is_the_result_and_anything_else_a_list_of_the_results(text, expected):
    assert run_jq(text, {"inputs": {"l": [1, [2]]}}) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(2**53 + 1, -(2**63), 10**30, 10**400, 10**5000, 5.0, -0.0, 0.1, 5e-324, 1e300, 1e21),
        *("", "\x00\x7f\u2028é\U0001f600", "${{secrets.X}}", None, True, [], {}),
        {"b": [1.0, {"a": 2**70}], "a": {"\x00": ["\\"]}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_is_only_moved_arrives_as_it_was(value):
    for text in (".inputs.v", ".inputs | .v", "{inputs} | .inputs.v", "[.inputs[]][0]"):
        (result,) = run_jq(f"[{text}]", {"inputs": {"v": value}})
        assert result == value
        assert type(result) is type(value)
        assert not isinstance(value, dict) or list(result) == list(value)
    assert repr(run_jq("[.inputs.v]", {"inputs": {"v": -0.0}})) == "[-0.0]"


def test_comparing_is_exact_and_computing_is_in_doubles():
    given = {"inputs": {"a": 2**53 + 1, "b": 2**53, "f": 5.0}}
    assert run_jq(".inputs.a == .inputs.b, ([.inputs.a, .inputs.b] | sort)", given) == [
        False,
        [2**53, 2**53 + 1],
    ]
    assert run_jq("[.inputs.a + 0, .inputs.f + 0, infinite, nan]", given) == [
        2**53,
        5,
        1.7976931348623157e308,
        None,
    ]


@pytest.mark.parametrize("text", ["\ud800", "\ude00\ud83d", "a\udc00b"], ids=repr)
def test_a_lone_surrogate_is_a_clear_error(text):
    with pytest.raises(OpcodeError, match="surrogate") as caught:
        run_jq(".inputs.v", {"inputs": {"v": text}})
    assert caught.value.code is ErrorCode.EXECUTION_ERROR


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".inputs.n.x", "Cannot index number"),
        ('error("on purpose")', "on purpose"),
        ("input", "jq: "),
        ('error("x" * 9000)', "…$"),
    ],
)
def test_a_program_that_fails_says_why(text, message):
    with pytest.raises(OpcodeError, match=message) as caught:
        run_jq(text, {"inputs": {"n": 1}})
    assert caught.value.code is ErrorCode.EXECUTION_ERROR
    assert len(caught.value.message) < 400


def test_what_only_jq_itself_refuses_is_still_a_fault_of_the_definition():
    with pytest.raises(OpcodeError, match="object key") as caught:
        run_jq("{(1): 2}", {})
    assert caught.value.code is ErrorCode.VALIDATION_ERROR


def test_a_result_nested_too_deeply_is_a_spent_budget():
    with pytest.raises(BudgetExceeded) as caught:
        run_jq("reduce range(9000) as $i (0; [.])", {})
    assert caught.value.details == {"limit": "nesting"}


def test_jq_is_never_evaluated_in_place(scope_of):
    compiled = compile_jq("1")
    assert compiled.needs_worker
    with pytest.raises(BudgetExceeded):
        evaluate(compiled, scope_of())
