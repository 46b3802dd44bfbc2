"""Step ids that can be asked for and not all be listed: those of iterations, and short ids of siblings."""

import re
from collections.abc import Iterator, Mapping

import pytest

from opcode_runtime.expressions import (
    IN_WORKER,
    compile_data_inject,
    compile_expression,
    compile_jq,
    compile_over,
    compile_template,
    evaluate,
    jq_input,
    scope_from_parts,
    scope_parts,
)
from opcode_runtime.model.errors import OpcodeError

ENDLESS = re.compile(r"loop\.iter_\d+\.(hash|fetch-all)|fetch-all|hash")


class Ids:
    """Answers `in`, and nothing else."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and ENDLESS.fullmatch(name) is not None


class Listing(Ids):
    """Lists some of the ids that it knows."""

    def __iter__(self) -> Iterator[str]:
        return iter(["hash", "fetch-all"])


class Steps(Mapping):
    """A step for each of these ids."""

    def __init__(self, step):
        self._step = step
        self.listed = 0

    def __contains__(self, name):
        return name in Ids()

    def __getitem__(self, name):
        return self._step({"id": name, "items": [{"n": 1}]})

    def __iter__(self):
        for at in range(1_000_000):
            self.listed += 1
            yield f"loop.iter_{at}.hash"

    def __len__(self):
        return 1_000_000


@pytest.fixture
def steps(step):
    return Steps(step)


REFERENCES = [
    ("steps.loop.iter_3.hash.id", "loop.iter_3.hash"),
    ("steps['loop.iter_12345.hash'].id", "loop.iter_12345.hash"),
    ("steps.loop.iter_3.fetch-all.id", "loop.iter_3.fetch-all"),
    ("steps.fetch-all.id", "fetch-all"),
]


@pytest.mark.parametrize("ids", [Ids(), Listing()])
@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_such_ids_are_found_in_every_form(scope_of, steps, ids, text, expected):
    scope = scope_of(steps=steps)
    cel = f"{text} == '{expected}' ? {text} : ''"
    for written in (text, cel, f"inputs.nope ?? {text}"):
        compiled = compile_expression(written, step_ids=ids)
        assert compiled.roots.steps == {expected}
        assert evaluate(compiled, scope) == expected
        there = scope_from_parts(scope_parts(compiled, scope))
        assert evaluate(compiled, there, limits=IN_WORKER) == expected
    template = compile_template({"a": [f"<${{{{{text}}}}}>"]}, step_ids=ids)
    assert template.render(scope) == {"a": [f"<{expected}>"]}
    assert compile_data_inject(text, step_ids=ids).template.render(scope) == expected
    items = text.replace(".id", ".items")
    assert compile_over(items, step_ids=ids).render(scope) == [{"n": 1}]
    assert steps.listed == 0


def test_jq_asks_for_the_ids_that_it_names(scope_of, steps):
    compiled = compile_jq('.steps["loop.iter_7.hash"], .steps.hash, .steps.nope')
    given = jq_input(compiled, scope_of(steps=steps))
    assert list(given["steps"]) == ["loop.iter_7.hash", "hash"]
    assert steps.listed == 0


def test_ids_of_any_other_kind_are_listed_once():
    for ids in (["a-b"], ("a-b",), {"a-b": 1}, {"a-b"}, iter(["a-b"])):
        assert compile_expression("steps.a-b.c == 1", step_ids=ids).roots.steps == {"a-b"}


def test_a_missing_step_lists_a_bounded_number_of_names(scope_of, steps):
    scope = scope_of(steps=steps)
    compiled = compile_expression("steps.nope.x", step_ids=Ids())
    for at in (scope, scope_from_parts(scope_parts(compiled, scope))):
        with pytest.raises(OpcodeError) as caught:
            evaluate(compiled, at)
        assert caught.value.message.count("iter_") <= 21
        assert steps.listed <= 1_000


def test_the_same_text_is_compiled_once_whatever_answers_for_the_ids():
    first = compile_expression("steps.loop.iter_1.hash.id == 'x'", step_ids=Ids())
    again = compile_expression("steps.loop.iter_1.hash.id == 'x'", step_ids=Listing())
    assert first.node is again.node
    other = compile_expression("steps.loop.iter_1.hash.id == 'x'", step_ids=("loop",))
    assert other.node is not first.node
    assert other.roots.steps == {"loop"}
