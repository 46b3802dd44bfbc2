"""Operators, functions, macros and literals of CEL."""

import pytest

from opcode_runtime.expressions import check_guard, compile_expression
from opcode_runtime.model.errors import ErrorCode, OpcodeError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.n > 10 ? 'many' : inputs.n > 3 ? 'some' : 'few'", "some"),
        ("inputs.tags + ['c']", ["a", "b", "c"]),
        ("{'a': inputs.n, 'b': [1, 2.5]}.b[1]", 2.5),
        ("{'a': [inputs.order]}", {"a": [{"id": "o-1", "qty": 2, "the key": 7}]}),
        ("!!true", True),
        ("- - 5", 5),
        ("'a' in inputs.tags && !('z' in inputs.tags)", True),
        ("'id' in inputs.order", True),
        ("inputs.order['qty'] == 2", True),
        ("[[1, 2], [3]][1][0]", 3),
        ("(((inputs.n)))", 5),
    ],
)
def test_operators(value_of, text, expected):
    assert value_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"'a\n\t\x41\u00e9\U0001F600\101' + ''", "a\n\tAé😀A"),
        (r"r'\d' + ''", r"\d"),
        ("'''it's\n\"so\"''' + ''", 'it\'s\n"so"'),
        ('"it\'s" + ""', "it's"),
        (r"'don\'t' + ''", "don't"),
        ("0x1F + 0", 31),
        ("1e3 + 0.0", 1000.0),
        ("12u + 1u", 13),
        (r"b'\xff\x00'", "/wA="),
        ("null == null", True),
    ],
)
def test_literals(value_of, text, expected):
    assert value_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size('héllo') + inputs.tags.size() + size(inputs.order)", 10),
        ("string(5.0) + string(true) + string(1.5) + string(1e21)", "5true1.51e+21"),
        ("string(inputs.huge) + ''", str(2**70)),
        ("int('42') + int(3.9) + int('-1')", 44),
        ("double('1.5') + double(1)", 2.5),
        ("bool('true') && !bool('false')", True),
        ("'release-1'.startsWith('release') && 'x.go'.endsWith('.go')", True),
        ("inputs.name.contains('por')", True),
        ("timestamp('2026-11-21T10:00:00Z') + duration('1h30m')", "2026-11-21T11:30:00Z"),
        ("timestamp('2026-11-21T10:00:00.123456789+02:00')", "2026-11-21T08:00:00.123456Z"),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp(1800000000)", True),
        ("timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z')", "86400s"),
        ("duration('-1.5s')", "-1.500s"),
        ("duration('90s') == duration('1m30s')", True),
        ("duration('90m').getHours() + duration('90m').getMinutes()", 91),
        ("timestamp('2026-11-21T23:30:00Z').getDate('+01:00')", 22),
        ("timestamp('2026-11-21T23:30:00Z').getHours('Europe/Berlin')", 0),
        ("timestamp('2026-11-21T00:00:00Z').getDayOfWeek()", 6),
        ("int(timestamp('1970-01-01T00:01:00Z'))", 60),
        ("type('') == string && type(null) == null_type && type([]) == list", True),
    ],
)
def test_functions(value_of, text, expected):
    assert value_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.fetch.items.filter(i, i.ok).map(i, i.id)", [1]),
        ("[1, 2, 3].map(x, x > 1, x * x)", [4, 9]),
        ("steps.fetch.items.all(i, i.price > 1)", True),
        ("steps.fetch.items.exists(i, i.id == 2)", True),
        ("steps.fetch.items.exists_one(i, i.ok)", True),
        ("inputs.order.map(key, key)", ["id", "qty", "the key"]),
        ("[1, 2].map(x, [10, 20].map(y, x + y))", [[11, 21], [12, 22]]),
        ("[1, 2].map(x, [5].map(x, x)[0] + x)", [6, 7]),
        ("[{'a': null}].map(x, x.a.b)", [None]),
        ("[{'a': 1}].exists(x, has(x.b))", False),
        ("'ab12'.matches('^[a-z]+[0-9]+$')", True),
        ("matches('x', '(a+)+$')", False),
    ],
)
def test_macros_and_matches_need_a_worker(value_of, text, expected):
    assert value_of(text) == expected
    assert compile_expression(text).needs_worker


@pytest.mark.parametrize(
    "text",
    ["inputs.a == 1", "has(inputs.a)", "size(inputs.a) + 1", "inputs.a.contains('x')", "a ?? b"],
)
def test_what_its_text_bounds_needs_no_worker(text):
    assert not compile_expression(text).needs_worker


def test_one_side_of_a_default_that_needs_a_worker_is_enough():
    assert compile_expression("inputs.a ?? [1].map(x, x)").needs_worker


def test_a_field_may_be_called_like_a_macro_or_a_function(value_of, step):
    steps = {"check-backup": step({"stdout": {"exists": True, "map": 1, "size": 2}})}
    assert value_of("steps['check-backup'].stdout.exists == true", steps=steps) is True
    assert value_of("steps['check-backup'].stdout.map + 1", steps=steps) == 2
    assert value_of("steps.check-backup.stdout.size", steps=steps) == 2


def test_a_variable_hides_a_namespace(value_of):
    assert value_of("[1, 2].map(inputs, inputs + 1)") == [2, 3]
    assert compile_expression("[1].map(inputs, inputs)").roots.namespaces == frozenset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true || 1 / 0 == 1", True),
        ("1 / 0 == 1 || true", True),
        ("false && steps.nope.x", False),
        ("steps.nope.x && false", False),
        ("[0, 1].exists(x, 1 / x == 1)", True),
        ("[0, 1].all(x, 1 / x == 2)", False),
    ],
)
def test_an_answer_wins_over_an_error(value_of, text, expected):
    assert value_of(text) is expected


@pytest.mark.parametrize("text", ["false || 1 / 0 == 1", "true && 1 / 0 == 1", "true && 1"])
def test_without_an_answer_the_error_stays(value_of, text):
    with pytest.raises(OpcodeError):
        value_of(text)


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("", "no expression"),
        ("${{ }}", "no expression"),
        ("1 +", "ends too early"),
        ("(1 + 2", "ends too early"),
        ("a b", "did not expect 'b'"),
        ("(a ?? b)", "did not expect"),
        ("a ?? ", "nothing beside"),
        ("'abc", "never closed"),
        ("'a\nb'", "never closed"),
        (r"'\q'", "no escape"),
        ("foo(1)", "no function 'foo'"),
        ("inputs.a.startWith('x')", "did you mean 'startsWith'"),
        ("startsWith('a', 'b')", "is written"),
        ("size(1, 2)", "does not take 2"),
        ("has(1)", "one member"),
        ("has(inputs)", "one member"),
        ("inputs.a.map(1, 2)", "is written list.map"),
        ("Foo{a: 1}", "messages"),
        ("secrets.TOKEN", "a secret cannot stand here"),
        ("secrets['TOKEN'] + 'x'", "a secret cannot stand here"),
        ("inputs.a ?? secrets.TOKEN", "a secret cannot stand here"),
        ("[" * 60 + "]" * 60, "nested deeper"),
        ("1" + " + 1" * 10_000, "at most"),
    ],
)
def test_what_is_wrong_as_written_is_found_when_compiled(text, mentions):
    with pytest.raises(OpcodeError, match=mentions) as caught:
        compile_expression(text)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR
    assert caught.value.details["column"] >= 1


def test_long_chains_and_many_brackets_are_no_nesting(value_of):
    assert value_of(" + ".join(["1"] * 2_000)) == 2_000
    assert value_of(" && ".join(["true"] * 1_000)) is True
    assert value_of("(" * 1_000 + "7" + ")" * 1_000) == 7
    assert value_of("!" * 1_001 + "true") is False
    assert value_of("".join(f"inputs.n == {n} ? {n} : " for n in range(100)) + "0") == 5


@pytest.mark.parametrize(
    "text",
    [
        "'" + r"\n" * 5_000,
        "'" + r"\n" * 5_000 + "\\\n'",
        "1 // '''\n'" + r"\n" * 5_000 + "\n'''",
        "r'" + r"\d" * 5_000 + r"\'",
        '"""' + r"\n" * 5_000 + '""',
    ],
)
def test_a_quote_that_never_closes_is_refused_at_once(text):
    with pytest.raises(OpcodeError, match="never closed"):
        compile_expression(text)


def test_a_comment_goes_to_the_end_of_its_line(value_of):
    assert value_of("inputs.n // it's five\n + 1 // steps.fetch-order ?? '") == 6
    assert value_of("'http://x' + ''") == "http://x"


def test_an_expression_that_is_no_text_is_refused():
    for value in (5, None, ["a"]):
        with pytest.raises(TypeError):
            compile_expression(value)


def test_the_result_must_be_json(value_of):
    with pytest.raises(OpcodeError, match="the type int"):
        value_of("type(1)")


def test_a_guard_must_be_true_false_or_null():
    assert check_guard(True) is True
    assert check_guard(False) is False
    assert check_guard(None) is False
    for value in (0, 1, "true", [], {}):
        with pytest.raises(OpcodeError, match="compare it") as caught:
            check_guard(value)
        assert caught.value.code is ErrorCode.EXECUTION_ERROR


def test_two_compilations_of_one_text_share_their_work():
    one = compile_expression("inputs.a + inputs.b", step_ids=("x",))
    two = compile_expression(" inputs.a + inputs.b ", step_ids=("y",))
    assert one.node is two.node
