"""Expressions that would never end, or take all there is: each costs itself and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
import trio

from opcode_runtime.engine.expression_workers import (
    ExpressionWorkers,
    InlineExpressionWorkers,
    open_expression_workers,
)
from opcode_runtime.expressions import (
    BudgetExceeded,
    Compiled,
    Scope,
    compile_expression,
    compile_jq,
    compile_over,
)
from opcode_runtime.model.errors import ErrorCode, OpcodeError

D = "[0,1,2,3,4,5,6,7,8,9]"
NESTED = f"{D}.map(a,{D}.map(b,{D}.map(c,{D}.map(d,{D}.map(e,{D}.map(f,{D}.map(g,1)))))))"
ENDLESS_JQ = [
    "def f: f; f",
    "[range(1e12)]",
    "last(range(1e12))",
    "[limit(1e9; repeat(1))]",
    "0 | until(false; . + 1)",
    "reduce range(1e9) as $i (0; . + 1)",
    "repeat(1)",
    '["aaaaaaaaaaaaaaaaaaaaaaaaaab" | limit(1e9; repeat(.)) | try test("^(a+)+$") catch 0]',
    '[limit(1e9; repeat("aaaaaaaaaaaaaaaaaaaaaaaaaaaa" | [match("a*"; "g")]))]',
]
GREEDY_JQ = ["def f: 1 + f; f", '"a" * 1e9 | length', "[.] | until(false; [., .] | tojson)"]


@pytest.fixture
async def workers() -> AsyncIterator[ExpressionWorkers]:
    with trio.fail_after(120):
        async with open_expression_workers(count=2, deadline_s=30) as pool:
            yield pool


@pytest.fixture
def scope(scope_of: Callable[..., Scope]) -> Scope:
    return scope_of()


async def ended(
    workers: ExpressionWorkers, bomb: Compiled, scope: Scope, *, least: int = 2
) -> BudgetExceeded:
    """What came of a bomb, while at least so many others were answered."""
    innocent = compile_expression("[1, 2].map(x, x + inputs.n)")
    answered = 0
    found: list[BudgetExceeded] = []
    async with trio.open_nursery() as nursery:  # both workers are there before the bomb is
        for _ in range(2):
            nursery.start_soon(workers.evaluate, innocent, scope)
    async with trio.open_nursery() as nursery:

        async def explode() -> None:
            with pytest.raises(BudgetExceeded) as caught:
                await workers.evaluate(bomb, scope)
            found.append(caught.value)

        nursery.start_soon(explode)
        while not found:
            assert await workers.evaluate(innocent, scope) == [6, 7]
            answered += 1
    assert answered >= least
    return found[0]


@pytest.mark.parametrize("program", ENDLESS_JQ)
async def test_a_program_without_end_is_ended(workers, scope, program):
    error = await ended(workers, compile_jq(program), scope)
    assert error.code is ErrorCode.EXECUTION_ERROR
    assert error.details is not None
    assert error.details["limit"] in {"cpu", "time", "memory"}
    assert workers.statistics()["killed"] == 1


@pytest.mark.needs("linux")
@pytest.mark.parametrize("program", GREEDY_JQ)
async def test_a_program_that_takes_all_memory_gets_no_more_than_its_own(workers, scope, program):
    error = await ended(workers, compile_jq(program), scope, least=1)
    assert error.details is not None
    assert error.details["limit"] in {"memory", "cpu"}


@pytest.mark.needs("linux")
async def test_memory_and_processor_time_are_told_apart(scope):
    with trio.fail_after(60):
        async with open_expression_workers(count=1, deadline_s=30, cpu_s=10) as workers:
            with pytest.raises(BudgetExceeded) as caught:
                await workers.evaluate(compile_jq('"a" * 1e9 | length'), scope)
            assert caught.value.details == {"limit": "memory"}
        async with open_expression_workers(count=1, deadline_s=30, cpu_s=0.1) as workers:
            with pytest.raises(BudgetExceeded) as caught:
                await workers.evaluate(compile_jq("def f: f; f"), scope)
            assert caught.value.details == {"limit": "cpu"}
        async with open_expression_workers(count=1, deadline_s=0.2, cpu_s=600) as workers:
            with pytest.raises(BudgetExceeded) as caught:
                await workers.evaluate(compile_jq("def f: f; f"), scope)
            assert caught.value.details == {"limit": "time"}


async def test_nested_comprehensions_are_ended(workers, scope):
    error = await ended(workers, compile_expression(NESTED), scope)
    assert error.details is not None
    assert error.details["limit"] in {"cpu", "time"}


async def test_a_catastrophic_pattern_is_none(workers, scope_of):
    scope = scope_of(inputs={"s": "a" * 5_000 + "b"})
    assert await workers.evaluate(compile_expression("inputs.s.matches('^(a+)+$')"), scope) is False
    with pytest.raises(OpcodeError, match="jq"):
        await workers.evaluate(compile_jq('.inputs.s[:40] + "b" | test("^(a+)+$")'), scope)
    assert await workers.evaluate(compile_jq('[.inputs.s | test("b$")]'), scope) == [True]


@pytest.mark.parametrize("make", [compile_expression, compile_jq])
async def test_values_nested_too_deeply_are_a_clear_error(workers, scope_of, make):
    nested: Any = []
    for _ in range(5_000):
        nested = [nested]
    text = "[1].map(x, inputs.v)" if make is compile_expression else ".inputs.v"
    with pytest.raises(BudgetExceeded) as caught:
        await workers.evaluate(make(text), scope_of(inputs={"v": nested}))
    assert caught.value.details == {"limit": "nesting"}
    with pytest.raises(BudgetExceeded) as caught:
        await workers.evaluate(compile_jq("reduce range(9000) as $i (0; [.])"), scope_of())
    assert caught.value.details == {"limit": "nesting"}


async def test_a_result_over_the_limit_is_refused(workers, scope):
    async with open_expression_workers(count=1, deadline_s=60, cpu_s=30) as patient:
        with pytest.raises(BudgetExceeded) as caught:
            await patient.evaluate(compile_jq('"a" * 17000000'), scope)
    assert caught.value.details == {"limit": "result"}


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 8_000, "(" * 8_000, "{" * 8_000, '"\\(' * 5_000, "try " * 4_000, "-" * 16_000),
        *("def f: " * 2_000, ". as $x|" * 2_000, ".a|" * 5_000, ".a//" * 4_000, "." * 16_000),
        *(
            "if . then " * 1_600,
            "reduce . as $x (0;" * 900,
            "reduce " * 2_000,
            ". as " + "[" * 8_000,
            "{a:" * 5_000,
        ),
        *("label $x|" * 1_800, "def f: 1;" * 1_800, "f(" * 8_000, "'" * 16_000, "#" * 16_000),
        *("?//" * 5_000, "\\" * 16_000, ".[" * 8_000, "x" * 16_384, "9" * 16_000, "." * 100_000),
    ],
    ids=lambda text: text[:8],
)
def test_no_program_is_too_much_to_read(text):
    for compiling in (compile_jq, compile_over):
        error = refusal(compiling, text)
        assert error is None or error.code is ErrorCode.VALIDATION_ERROR
        assert error is None or len(error.message) < 1_000


def refusal(compiling: Callable[[str], Any], text: str) -> OpcodeError | None:
    try:
        compiling(text)
    except OpcodeError as error:
        return error
    return None


async def test_without_children_of_their_own_jq_still_ends(scope):
    workers = InlineExpressionWorkers()
    assert await workers.evaluate(compile_jq("[.inputs.n]"), scope) == [5]
    with pytest.raises(BudgetExceeded) as caught:
        await workers.evaluate(compile_jq("def f: f; f"), scope)
    assert caught.value.details == {"limit": "cpu"}
    with pytest.raises(OpcodeError, match="Cannot index"):
        await workers.evaluate(compile_jq(".inputs.n.x"), scope)


@pytest.mark.needs("linux")
async def test_a_program_sees_no_environment(workers, scope, monkeypatch):
    monkeypatch.setenv("OPCODE_TOKEN", "not for jq")
    assert await workers.evaluate(compile_jq("[env, $ENV]"), scope) == [{}, {}]
    assert await InlineExpressionWorkers().evaluate(compile_jq("[env]"), scope) == [{}]


async def test_after_every_kind_of_end_the_pool_goes_on(workers, scope):
    for program in ("halt", "halt_error", "input", "error(null)", "debug", "stderr", "empty"):
        with suppress(OpcodeError):
            await workers.evaluate(compile_jq(f".inputs.n | {program}"), scope)
        assert await workers.evaluate(compile_jq("[.inputs.n]"), scope) == [5]
    assert workers.statistics()["killed"] == 0
