"""What an evaluation may cost in place, and that it costs no more over a bigger scope."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from opcode_runtime.expressions import (
    IN_PLACE,
    IN_WORKER,
    BudgetExceeded,
    Limits,
    Scope,
    compile_expression,
    evaluate,
)
from opcode_runtime.model.errors import ErrorCode

UNHURRIED = Limits(IN_PLACE.steps_max, cpu_s=60, text_chars_max=IN_PLACE.text_chars_max)
BOMB = "L.map(a, L.map(b, L.map(c, L.map(d, L.map(e, L.map(f, 1))))))".replace(
    "L", "[0,1,2,3,4,5,6,7,8,9]"
)


def test_too_many_steps_are_told_from_other_failures(scope_of):
    with pytest.raises(BudgetExceeded) as caught:
        evaluate(compile_expression(BOMB), scope_of(), limits=UNHURRIED)
    assert caught.value.code is ErrorCode.EXECUTION_ERROR
    assert caught.value.details == {"limit": "steps"}


def test_too_much_processor_time_ends_an_evaluation(scope_of):
    with pytest.raises(BudgetExceeded) as caught:
        evaluate(compile_expression(BOMB), scope_of(), limits=Limits(1 << 60, 0.002, 1 << 60))
    assert caught.value.details == {"limit": "cpu"}


@pytest.mark.parametrize(
    "text",
    [
        f"{BOMB} == [] || true",
        f"{BOMB} == [] && false",
        f"[1, 2].exists(x, {BOMB} == [] || x == 2)",
        f"context.nope ?? {BOMB}",
        f"{BOMB} ?? 1",
    ],
)
def test_nothing_in_an_expression_swallows_a_spent_budget(scope_of, text):
    with pytest.raises(BudgetExceeded):
        evaluate(compile_expression(text), scope_of(), limits=UNHURRIED)


def test_a_text_of_64_kib_is_not_handled_in_place(scope_of):
    compiled = compile_expression("inputs.big.contains('x')")
    small, big = scope_of(inputs={"big": "a" * 65_535}), scope_of(inputs={"big": "a" * 65_536})
    assert evaluate(compiled, small) is False
    with pytest.raises(BudgetExceeded) as caught:
        evaluate(compiled, big)
    assert caught.value.details == {"limit": "text"}
    assert evaluate(compiled, big, limits=IN_WORKER) is False


def test_comparing_long_lists_counts_every_element(scope_of):
    compiled = compile_expression("inputs.a == inputs.b")
    scope = scope_of(inputs={"a": list(range(20_000)), "b": list(range(20_000))})
    with pytest.raises(BudgetExceeded):
        evaluate(compiled, scope, limits=UNHURRIED)
    assert evaluate(compiled, scope, limits=IN_WORKER) is True


class _Watched(Mapping[str, Any]):
    """A mapping that notes which keys are read, and that it is never gone through."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.touched: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.touched.append(key)
        return self.content[key]

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the whole mapping was gone through")

    def __len__(self) -> int:
        raise AssertionError("the whole mapping was measured")


def _watched_scope(size: int, step: Any) -> tuple[Scope, list[_Watched]]:
    rows = _Watched({f"k{n}": {"v": "x" * 50} for n in range(size)})
    output = _Watched({"items": rows, "status_code": 200})
    steps = _Watched({"fetch": step(output)} | {f"s{n}": step({"n": n}) for n in range(size)})
    inputs = _Watched({"limit": 100} | {f"i{n}": n for n in range(size)})
    scope = Scope(steps=steps, inputs=inputs, workflow={}, context=_Watched({}))
    return scope, [steps, inputs, output, rows]


@pytest.mark.parametrize("size", [10, 10_000])
def test_the_cost_does_not_grow_with_the_scope(step, size):
    compiled = compile_expression(
        "inputs.limit >= 1 && steps['fetch'].output.status_code == 200"
        " && has(steps.fetch.items.k3) && steps.fetch.items.k3.v != ''"
    )
    scope, watched = _watched_scope(size, step)
    assert evaluate(compiled, scope) is True
    assert [len(each.touched) for each in watched] == [3, 1, 3, 2]
