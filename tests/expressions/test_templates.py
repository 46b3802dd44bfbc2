"""`${{ }}` inside JSON: types kept, text rendered, nothing scanned twice."""

import pytest

from opcode_runtime.expressions import compile_template
from opcode_runtime.model.errors import ErrorCode, OpcodeError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.n", 5),
        ("inputs.half", 1.5),
        ("inputs.nothing", None),
        ("inputs.tags", ["a", "b"]),
        ("inputs.order", {"id": "o-1", "qty": 2, "the key": 7}),
        ("inputs.n > 3", True),
    ],
)
def test_a_string_that_is_one_expression_keeps_the_type(rendered, expression, value):
    for text in (f"${{{{{expression}}}}}", f"${{{{  {expression}\n}}}}"):
        result = rendered({"a": [text]})["a"][0]
        assert result == value
        assert type(result) is type(value)


def test_inside_a_longer_string_values_become_text(rendered):
    text = "${{inputs.n}} ${{inputs.f}} ${{inputs.nothing}} ${{inputs.n > 3}} ${{inputs.tags}}"
    assert rendered(text) == '5 5 null true ["a","b"]'


def test_white_space_outside_the_braces_makes_a_text(rendered):
    assert rendered(" ${{inputs.n}}") == " 5"


def test_two_expressions_side_by_side_make_a_text(rendered):
    assert rendered("${{inputs.n}}${{inputs.n}}") == "55"


def test_everything_but_strings_stays_as_it_is(rendered):
    template = {"n": 1, "f": 2.0, "t": True, "z": None, "s": "plain }} $ {{ text", "e": {}, "l": []}
    assert rendered(template) == template


def test_a_rendering_shares_no_container_with_the_template(rendered):
    template = {"a": {"b": [1]}}
    result = rendered(template)
    result["a"]["b"].append(2)
    assert template == {"a": {"b": [1]}}


def test_keys_are_no_expressions(rendered):
    assert rendered({"${{inputs.n}}": "${{inputs.n}}"}) == {"${{inputs.n}}": 5}


def test_a_doubled_dollar_is_a_literal(rendered):
    assert rendered("$${{inputs.n}}") == "${{inputs.n}}"
    assert rendered("cost: $$${{inputs.n}}") == "cost: $${{inputs.n}}"
    assert rendered("$${{ and ${{inputs.n}}") == "${{ and 5"


def test_braces_and_quotes_inside_an_expression_do_not_end_it(rendered):
    assert rendered("${{ {'a': {'b': inputs.n}} }}") == {"a": {"b": 5}}
    assert rendered("x${{ '}}' + \"it's }}\" }}y") == "x}}it's }}y"


@pytest.mark.parametrize(
    "hostile",
    [
        "${{secrets.X}}",
        "$${{secrets.X}}",
        "}}",
        "${{",
        "'\"\\\n\r\t\x00",
        '", "admin": true, "x": "',
        "${{inputs.n}}",
        "{{ x }}",
        "\u2028\ud7ff",
    ],
)
def test_data_that_looks_like_an_expression_stays_data(rendered, hostile):
    assert rendered("${{inputs.h}}", inputs={"h": hostile}) == hostile
    assert rendered("a ${{inputs.h}} b", inputs={"h": hostile}) == f"a {hostile} b"
    assert rendered("${{inputs.h}}${{inputs.h}}", inputs={"h": hostile}) == hostile * 2
    assert rendered("${{inputs.h + ''}}", inputs={"h": hostile}) == hostile


def test_an_error_says_where_in_the_template_it_is(scope_of):
    template = compile_template({"body": {"a/b": ["ok", "x ${{context.nope}}"]}})
    with pytest.raises(OpcodeError) as caught:
        template.render(scope_of())
    assert caught.value.pointer == "/body/a~1b/1"
    assert caught.value.code is ErrorCode.INTERPOLATION_ERROR


def test_every_wrong_string_is_reported_at_once():
    with pytest.raises(OpcodeError) as caught:
        compile_template({"a": "${{ 1 + }}", "b": ["ok", "no end ${{ x"], "c": "${{secrets.A}}"})
    problems = caught.value.problems
    assert [problem.pointer for problem in problems] == ["/a", "/b/1", "/c"]
    assert {problem.code for problem in problems} == {ErrorCode.VALIDATION_ERROR}
    assert caught.value.pointer == "/a"


def test_a_column_counts_in_the_whole_string():
    with pytest.raises(OpcodeError) as caught:
        compile_template("héllo ${{ inputs.a =! 1 }}")
    assert caught.value.details["column"] == 20


def test_the_expressions_of_a_template_are_listed_with_their_places():
    template = compile_template({"a": "${{inputs.x}}", "b": ["${{steps.s.o}} ${{[1].map(i, i)}}"]})
    listed = [(pointer, compiled.source) for pointer, compiled in template.expressions]
    assert listed == [("/a", "inputs.x"), ("/b/0", "steps.s.o"), ("/b/0", "[1].map(i, i)")]
    assert template.needs_worker
    assert not compile_template("${{inputs.x}}").needs_worker


def test_values_found_elsewhere_can_be_given(scope_of):
    template = compile_template({"a": "${{ [1].map(i, i) }}", "b": "n ${{inputs.n}}"})
    result = template.render(scope_of(), given={"[1].map(i, i)": ["from a worker"]})
    assert result == {"a": ["from a worker"], "b": "n 5"}


def test_a_template_nested_too_deeply_is_refused():
    nested = "x"
    for _ in range(300):
        nested = [nested]
    with pytest.raises(OpcodeError, match="nested deeper"):
        compile_template(nested)
