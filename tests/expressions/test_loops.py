"""What an iteration sees, and what a condition may give."""

import pytest

from opcode_runtime.expressions import check_guard, compile_expression, compile_template
from opcode_runtime.model.errors import ErrorCode, OpcodeError

OUTER = {"item": {"name": "o"}, "index": 1, "parent": None, "last": None}
LOOP = {"item": {"name": "i", "in": 1}, "index": 0, "parent": OUTER, "last": {"hash": "h"}}


@pytest.mark.parametrize("namespace", ["loop", "iter"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NS.item.name", "i"),
        ("NS.index", 0),
        ("NS.last.hash", "h"),
        ("NS.last", {"hash": "h"}),
        ("NS.parent.item", {"name": "o"}),
        ("NS.parent.item.name", "o"),
        ("NS.parent.last.anything", None),
        ("NS.parent.parent.item", None),
        ("NS['item']['name']", "i"),
        ("NS.item.name == 'i' && NS.index < 3", True),
        ("NS.parent.item.name + NS.item.name", "oi"),
        ("NS.last != null", True),
        ("NS.parent.last == null", True),
        ("has(NS.last.hash) && !has(NS.last.nope)", True),
        ("NS.item.nope ?? NS.index", 0),
        ("[1, 2].filter(x, x > NS.index + 1)", [2]),
        ("[{'loop': NS.index}][0].loop", 0),
    ],
)
def test_an_iteration_by_both_of_its_names(value_of, namespace, text, expected):
    assert value_of(text.replace("NS", namespace), loop=LOOP) == expected


def test_before_the_first_iteration_ends_last_is_null(value_of):
    first = {"item": None, "index": 0, "parent": None, "last": None}
    assert value_of("iter.last", loop=first) is None
    assert value_of("iter.last.hash == null || iter.last.hash != 'x'", loop=first) is True
    assert value_of("iter.index < 3 && iter.last.done != true", loop=first) is True


def test_both_names_are_one_namespace_to_whoever_checks():
    for text in ("iter.last", "iter.last == 1", "loop.item", "loop.index + 1"):
        assert compile_expression(text).roots.namespaces == {"loop"}


def test_an_iteration_in_texts(rendered):
    template = {
        "signal": "go-${{loop.index}}",
        "to": "${{loop.parent.item}}",
        "for": "${{iter.last}}",
    }
    assert rendered(template, loop=LOOP) == {
        "signal": "go-0",
        "to": {"name": "o"},
        "for": {"hash": "h"},
    }


@pytest.mark.parametrize(("value", "holds"), [(True, True), (False, False), (None, False)])
def test_a_boolean_decides_and_null_does_not_hold(value, holds):
    assert check_guard(value) is holds
    assert check_guard(value, "the condition of a loop") is holds


@pytest.mark.parametrize(
    ("value", "described"),
    [
        (0, "the number 0"),
        (1.5, "the number 1.5"),
        (10**400, "a long number"),
        ("", "the text ''"),
        ("true", "the text 'true'"),
        ("x" * 500, "…"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_anything_else_is_an_error_that_says_what_it_was(value, described):
    for what in ("a guard", "the condition of a loop"):
        with pytest.raises(OpcodeError, match=described) as caught:
            check_guard(value, what)
        assert caught.value.code is ErrorCode.EXECUTION_ERROR
        assert caught.value.message.startswith(f"{what} must give true or false")
        assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${{inputs.n}}s", "5s"),
        ("${{inputs.f}}m", "5m"),
        ("${{inputs.half}}h", "1.5h"),
        ("PT${{inputs.past_exact}}S", "PT9007199254740992S"),
        ("approve-${{inputs.order.id}}-${{inputs.huge}}", "approve-o-1-1180591620717411303424"),
        ("${{inputs.name}}@${{context.region}}", "report@eu"),
        ("is ${{inputs.nothing}}/${{steps.skipped.x}}", "is null/null"),
        ("tags: ${{inputs.tags}}", 'tags: ["a","b"]'),
        ("${{inputs.order}}!", '{"id":"o-1","qty":2,"the key":7}!'),
        ("${{ inputs.half * 2.0 }} ${{ 1e21 }} ${{ 1e-7 }} ${{ -0.0 }}", "3 1e+21 1e-7 0"),
        ("${{ inputs.n > 4 }}", True),
        ("so ${{ inputs.n > 4 }}", "so true"),
        ("$${{inputs.n}} is ${{inputs.n}}", "${{inputs.n}} is 5"),
    ],
)
def test_durations_signals_and_prompts_are_texts_like_any_other(rendered, written, expected):
    assert rendered(written) == expected


def test_a_template_says_which_iteration_it_needs():
    template = compile_template({"a": "${{loop.item}} ${{inputs.x}}"})
    assert {root for _, each in template.expressions for root in each.roots.namespaces} == {
        "loop",
        "inputs",
    }
