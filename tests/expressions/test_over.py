"""`over` of a loop: paths, CEL, jq, lists and `${{ }}`, told apart by their text."""

import pytest

from opcode_runtime.engine.expression_workers import InlineExpressionWorkers
from opcode_runtime.expressions import checked_items, compile_over
from opcode_runtime.model.errors import ErrorCode, OpcodeError

LISTS = {
    "checklist_items": ["a"],
    "endpoints": [{"url": "u"}],
    "pii_fields": ["p"],
    "products": [1],
    "sources": [[1]],
    "piped": ["a|b"],
    "n": 2,
}


@pytest.fixture
def items(scope_of, step):
    steps = {
        "fetch-tickets": step({"body": [{"id": 1}, {"id": 2}]}),
        "list-files": step({"entries": ["x"]}),
        "parse-branches": step({"stdout": ["main"]}),
        "loop.iter_0.pick": step([3]),
        "skipped": step(status="skipped", attempts=0),
    }
    scope = scope_of(inputs=LISTS, steps=steps, loop={"item": [7, 8], "index": 0})

    async def found(value):
        template = compile_over(value, step_ids=steps)
        return checked_items(await InlineExpressionWorkers().render(template, scope))

    return found


def kind(value):
    template = compile_over(value, step_ids=("a-b",))
    return [expression.kind for _, expression in template.expressions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.checklist_items", ["a"]),
        ("inputs.endpoints", [{"url": "u"}]),
        ("inputs.pii_fields", ["p"]),
        ("inputs.products", [1]),
        ("inputs.sources", [[1]]),
        ("steps['fetch-tickets'].body", [{"id": 1}, {"id": 2}]),
        ("steps.fetch-tickets.body", [{"id": 1}, {"id": 2}]),
        ("steps['list-files'].entries", ["x"]),
        ("steps['parse-branches'].stdout", ["main"]),
        ("steps.loop.iter_0.pick", [3]),
        ('["api", "db", "cache"]', ["api", "db", "cache"]),
        ('  [1, 2.0, {"a": [null]}]\n', [1, 2.0, {"a": [None]}]),
        ('["${{inputs.n}}", "${{inputs.n}} of ${{inputs.n}}"]', [2, "2 of 2"]),
        (["a", "${{inputs.n}}", {"k": "${{inputs.sources}}"}], ["a", 2, {"k": [[1]]}]),
        ([], []),
        ("[]", []),
        ("${{ inputs.products }}", [1]),
        ("${{inputs.nothing ?? inputs.products}}", [1]),
        ("inputs.nothing ?? [1]", [1]),
        ("[1, inputs.n]", [1, 2]),
        ("inputs.products + [2]", [1, 2]),
        ("inputs.sources.map(s, s[0])", [1]),
        ("cel: inputs.products", [1]),
        ("cel:inputs.n == 2 || false ? [1] : []", [1]),
        ("loop.item", [7, 8]),
        (".inputs.products", [1]),
        (".inputs.products[]", [1]),
        ('.steps["fetch-tickets"].body[] | {n: .id}', [{"n": 1}, {"n": 2}]),
        ('[.steps["fetch-tickets"].body[] | select(.id > 1)]', [{"id": 2}]),
        ("[.inputs.products[]] | map(. + 1)", [2]),
        ("jq: range(3)", [0, 1, 2]),
        ("jq:[.loop.item[] * 2]", [14, 16]),
        ("jq: .inputs.nope // empty", []),
        ("['a|b', \"c|d\"]", ["a|b", "c|d"]),
        ("inputs.piped[0] == 'a|b' ? ['y'] : []", ["y"]),
        ("[9007199254740993, 18446744073709551616]", [2**53 + 1, 2**64]),
    ],
)
async def test_what_a_loop_goes_over(items, text, expected):
    assert await items(text) == expected


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("inputs.a", ["path"]),
        ("steps.a-b.x", ["path"]),
        ("inputs.a ?? []", ["default"]),
        ("inputs.a || inputs.b", ["cel"]),
        ("'|' == inputs.a ? [] : [1]", ["cel"]),
        ("'''a'|''' == inputs.a ? [] : [1]", ["cel"]),
        ("cel: inputs.a", ["path"]),
        ("cel: [1].map(x, x)", ["cel"]),
        (".inputs.a", ["jq"]),
        ("inputs | .a", ["jq"]),
        ("[.inputs.a[] | .b]", ["jq"]),
        ('.inputs["a|b"]', ["jq"]),
        ("jq: 1", ["jq"]),
        ('["a|b"]', []),
        ("[1]", []),
        ('["${{inputs.a}}"]', ["path"]),
        ("${{ inputs.a || false }}", ["cel"]),
    ],
)
def test_the_text_says_which_language_it_is(text, kinds):
    assert kind(text) == kinds


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inputs.a[", "jq: in front"),
        ("range(3)", "jq: in front"),
        (".inputs[", "too early"),
        ("jq: nope", "no function"),
        ("cel: .a |", "did not expect"),
        ("jq:", "too early"),
        ("", "no expression"),
        ("x ${{inputs.a}}", "needs a list"),
        ("${{inputs.a}}${{inputs.b}}", "needs a list"),
        (3, "the number 3"),
        ({"a": 1}, "an object"),
        (None, "null"),
        (["${{ ) }}"], "did not expect"),
    ],
)
def test_what_is_wrong_as_written_is_refused(value, message):
    with pytest.raises(OpcodeError, match=message) as caught:
        compile_over(value)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("inputs.n", "the number 2"),
        ("steps.skipped", "null"),
        ("inputs.n == 2", "true"),
        ("inputs.endpoints[0]", "an object"),
        ("'x'", "the text 'x'"),
    ],
)
async def test_what_is_no_list_is_an_error_that_says_what_it_was(items, text, described):
    with pytest.raises(OpcodeError, match=described) as caught:
        await items(text)
    assert caught.value.code is ErrorCode.EXECUTION_ERROR


async def test_a_list_in_the_definition_is_not_handed_out_itself(items):
    written = [{"a": 1}]
    (first,) = await items(written)
    assert first == written[0]
    assert first is not written[0]


def test_what_is_named_can_be_checked_in_every_language():
    for text in ("steps.x.y", "cel: [steps.x.y]", ".steps.x.y", '["${{steps.x.y}}"]'):
        ((_, expression),) = compile_over(text).expressions
        assert expression.roots.steps == {"x"}
    assert compile_over(".inputs.a").needs_worker
    assert not compile_over("inputs.a").needs_worker
