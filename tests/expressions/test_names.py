"""What names mean: steps, inputs that were not given, nulls, and names that are not there."""

import pytest

from opcode_runtime.expressions import compile_expression
from opcode_runtime.model.errors import ErrorCode, OpcodeError

DECLARED = {
    "notification_url": {"type": "string"},
    "count": {"type": "integer"},
    "mode": {"type": "string", "default": "fast"},
    "order": {
        "type": "object",
        "properties": {"qty": {"default": 1}, "note": {"type": "string"}, "id": {}},
    },
}


def refusal(value_of, text, **changes):
    with pytest.raises(OpcodeError) as caught:
        value_of(text, **changes)
    return caught.value


def test_a_step_alone_is_its_output(value_of):
    assert value_of("steps.route") == {"branch": "true"}
    assert value_of("steps.route.output") == {"branch": "true"}


def test_output_may_be_left_out(value_of):
    assert value_of("steps.fetch.status_code") == value_of("steps.fetch.output.status_code") == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps.fetch.status", "completed"),
        ("steps.fetch.output.status", "of the output"),
        ("steps.broken.error.code", "STEP_FAILED"),
        ("steps.skipped.reason", "guard"),
        ("steps.broken.attempts", 3),
        ("steps.skipped.attempts", 0),
        ("steps.fetch.child_workflow_id", None),
        ("steps['fetch'].status == 'completed'", True),
    ],
)
def test_the_fields_of_the_step_itself_win_over_members_of_its_output(value_of, text, expected):
    assert value_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "steps.skipped.output",
        "steps.skipped.output.body.x",
        "steps.skipped.body[3].x",
        "inputs.nothing.a.b",
        "steps.fetch.error.message",
        "true ? steps.skipped.body.x : 0",
    ],
)
def test_a_member_of_a_null_is_null_all_the_way_down(value_of, text):
    assert value_of(text) is None


def test_a_null_compares_unequal_to_everything_else(value_of):
    assert value_of("steps['skipped'].choice == 'y'") is False
    assert value_of("steps['skipped'].choice != 'y'") is True
    assert value_of("steps['skipped'].choice == null") is True


def test_a_declared_text_that_was_not_given_reads_as_the_empty_text(value_of, rendered):
    assert value_of("inputs.notification_url", inputs={}, declared_inputs=DECLARED) == ""
    assert value_of("inputs.notification_url != ''", inputs={}, declared_inputs=DECLARED) is False
    text = rendered("to '${{inputs.notification_url}}'", inputs={}, declared_inputs=DECLARED)
    assert text == "to ''"


def test_any_other_declared_input_that_was_not_given_reads_as_null(value_of):
    assert value_of("inputs.count", inputs={}, declared_inputs=DECLARED) is None
    assert value_of("inputs.order.id", inputs={}, declared_inputs=DECLARED) is None


def test_has_and_default_see_that_an_input_was_not_given(value_of):
    for name in ("notification_url", "count"):
        assert value_of(f"has(inputs.{name})", inputs={}, declared_inputs=DECLARED) is False
        assert value_of(f"inputs.{name} ?? 'd'", inputs={}, declared_inputs=DECLARED) == "d"


def test_an_input_with_a_default_counts_as_given(value_of):
    assert value_of("inputs.mode", inputs={}, declared_inputs=DECLARED) == "fast"
    assert value_of("has(inputs.mode)", inputs={}, declared_inputs=DECLARED) is True
    assert value_of("inputs.mode ?? 'd'", inputs={}, declared_inputs=DECLARED) == "fast"


def test_nested_defaults_hold_where_the_parent_is_there(value_of):
    given = {"order": {"id": 9}}
    assert value_of("inputs.order.qty", inputs=given, declared_inputs=DECLARED) == 1
    assert value_of("inputs.order.note", inputs=given, declared_inputs=DECLARED) == ""
    assert value_of("inputs.order.qty", inputs={}, declared_inputs=DECLARED) is None


def test_what_was_given_wins_over_every_default(value_of):
    assert value_of("inputs.mode", inputs={"mode": "slow"}, declared_inputs=DECLARED) == "slow"
    assert value_of("inputs.mode", inputs={"mode": None}, declared_inputs=DECLARED) is None


def test_without_an_input_schema_an_unknown_input_reads_as_null(value_of):
    assert value_of("inputs.whatever", inputs={}) is None
    assert value_of("inputs.whatever.x", inputs={}) is None
    assert value_of("has(inputs.whatever)", inputs={}) is False


def test_with_an_input_schema_an_unknown_input_is_an_error_that_lists_the_declared(value_of):
    error = refusal(value_of, "inputs.notification_ur", inputs={}, declared_inputs=DECLARED)
    assert error.code is ErrorCode.INTERPOLATION_ERROR
    assert "notification_url, count, mode, order" in error.message
    assert "did you mean 'notification_url'?" in error.message


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("steps.nope.output", "fetch, fetch-order"),
        ("steps.fetch.output.itemz", "did you mean 'items'"),
        ("steps['fetch'].output.itemz == 1", "status_code, status, items"),
        ("nowhere.x == 1", "context, inputs, iter, loop, steps, workflow"),
        ("workflow.nope", "run_id, name, template_version"),
        ("context.nope", "region"),
        ("inputs.order.nope", "id, qty"),
        ("inputs.tags[9]", "a list of 2"),
        ("inputs.tags[-1]", "a list of 2"),
        ("inputs.tags.0", "write \\[0\\]"),
        ("inputs.name.x", "is a text"),
        ("inputs.n.x == 1", "is a number"),
        ("loop.item", "only inside a loop"),
        ("iter.index == 1", "only inside a loop"),
        ("steps[inputs.name]", "'report'"),
    ],
)
def test_a_name_that_is_not_there_is_an_error_that_says_what_is(value_of, text, mentions):
    with pytest.raises(OpcodeError, match=mentions) as caught:
        value_of(text)
    assert caught.value.code is ErrorCode.INTERPOLATION_ERROR
    assert not caught.value.info().retryable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("has(steps.fetch.output.items)", True),
        ("has(steps.fetch.output.nope)", False),
        ("has(steps.fetch.output.nope.deeper)", False),
        ("has(steps.skipped.body)", False),
        ("has(steps.nope.output)", False),
        ("has(inputs.nothing)", True),
        ("has(context.region) && !has(context.nope)", True),
        ("steps.fetch.output.nope ?? 'd'", "d"),
        ("steps.skipped.body.x ?? 'd'", "d"),
        ("inputs.nothing ?? inputs.name", "report"),
        ("inputs.n ?? 'd'", 5),
        ("context.a ?? context.b ?? 'last'", "last"),
        ("inputs.n + 1 ?? 0", 6),
        ("steps['fetch'].nope + 1 ?? 0", 0),
        ("'a ?? b'", "a ?? b"),
    ],
)
def test_has_and_default_ask_without_failing(value_of, text, expected):
    assert value_of(text) == expected


def test_a_default_does_not_hide_other_failures(value_of):
    assert refusal(value_of, "1 / 0 ?? 5").code is ErrorCode.EXECUTION_ERROR


def test_the_last_side_of_a_default_must_be_there(value_of):
    assert refusal(value_of, "context.a ?? context.b").code is ErrorCode.INTERPOLATION_ERROR


def test_loop_and_iter_are_the_same(value_of):
    loop = {"item": "main", "index": 2, "parent": {"index": 7}}
    assert value_of("loop.item", loop=loop) == "main"
    assert value_of("iter.index", loop=loop) == 2
    assert value_of("loop.parent.index + iter.index", loop=loop) == 9


def test_a_step_may_be_named_by_a_value(value_of):
    assert value_of("steps[inputs.which].status", inputs={"which": "broken"}) == "failed"


def test_a_namespace_alone_is_an_object(value_of, step):
    assert value_of("steps", steps={"a": step(1), "b": step(None)}) == {"a": 1, "b": None}
    assert value_of("'region' in context") is True
    assert value_of("size(inputs)", inputs={"a": 1}) == 1


def test_roots_say_what_an_expression_names():
    ids = frozenset({"fetch-order", "route.true.deploy"})
    text = "steps.fetch-order.x > inputs.max && context.a.b == steps.route.true.deploy.c || foo.x"
    roots = compile_expression(text, step_ids=ids).roots
    assert roots.steps == {"fetch-order", "route.true.deploy"}
    assert roots.inputs == {"max"}
    assert roots.context == {"a"}
    assert roots.namespaces == {"steps", "inputs", "context"}
    assert roots.unknown == {"foo"}
    assert not roots.whole


def test_roots_of_an_unknown_step_and_of_a_computed_one():
    assert compile_expression("steps.nope.output.x").roots.steps == {"nope"}
    computed = compile_expression("steps[inputs.which].x").roots
    assert computed.whole == {"steps"}
    assert computed.inputs == {"which"}


def test_roots_of_every_side_of_a_default_count():
    roots = compile_expression("steps.a.x ?? iter.item").roots
    assert roots.steps == {"a"}
    assert roots.namespaces == {"steps", "loop"}
