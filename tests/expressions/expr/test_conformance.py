"""Over a thousand expressions against the language's own core: live where it is installed, by its kept answers always.

`corpus.json` holds the expressions and their variables, `expected.json` what the core answered, `differences.json` the
expressions on which we differ, each with the name of its reason in the reference page.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from opcode_runtime.expressions.expr import BUILTINS, PREDICATED
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from tests.conftest import ROOT
from tests.expressions.expr.conftest import load
from tests.expressions.expr.generator import Generator
from tests.expressions.expr.oracle import Answer, agree, answer

CORPUS = load("corpus.json")
EXPECTED: dict[str, Answer] = load("expected.json")
DIFFERENCES: dict[str, str] = load("differences.json")
EXPRESSIONS: list[str] = [*CORPUS["hand_picked"], *CORPUS["generated"]]
PAGE = ROOT / "docs" / "reference" / "expressions.md"

Evaluate = Callable[..., Any]


def our_answer(value_of: Evaluate, source: str) -> Answer:
    try:
        return {"value": value_of(source)}
    except OpcodeError as error:
        return {"error": "compile" if error.code is ErrorCode.VALIDATION_ERROR else "run"}


def test_the_corpus_is_large_and_every_expression_in_it_has_an_answer() -> None:
    assert len(EXPRESSIONS) == len(set(EXPRESSIONS)) >= 500
    assert set(EXPRESSIONS) == EXPECTED.keys()


def test_every_function_of_the_language_is_in_the_corpus() -> None:
    text = "\n".join(EXPRESSIONS)
    names = {*BUILTINS, *PREDICATED}
    assert len(names) == 71
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\(", text)] == []


def test_we_differ_from_the_kept_answers_where_we_say_so_and_nowhere_else(
    value_of: Evaluate,
) -> None:
    differing = {
        source
        for source in EXPRESSIONS
        if not agree(our_answer(value_of, source), EXPECTED[source])
    }
    assert differing == DIFFERENCES.keys()
    assert len(differing) <= 0.03 * len(EXPRESSIONS)


def test_what_is_wrong_as_written_is_refused_before_it_runs(value_of: Evaluate) -> None:
    late = [
        source
        for source in EXPRESSIONS
        if EXPECTED[source] == {"error": "compile"}
        and our_answer(value_of, source) == {"error": "run"}
    ]
    assert late == []


def test_every_difference_is_on_the_reference_page_with_its_reason() -> None:
    text = PAGE.read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", text, re.MULTILINE))
    assert rows.keys() == set(DIFFERENCES.values())
    assert f"{len(EXPRESSIONS):,} expressions (`tests" in text
    assert f"{len(DIFFERENCES)} of them differ" in text
    for source, reason in DIFFERENCES.items():
        assert f"`{source.replace('|', chr(92) + '|')}`" in rows[reason], source


@pytest.mark.needs("golem")
def test_the_kept_answers_are_those_of_the_languages_own_core(environment: dict[str, Any]) -> None:
    engine = importlib.import_module("golem").Engine(strict_vars=False, eval_timeout_ms=10_000)
    changed = [
        source for source in EXPRESSIONS if answer(engine, source, environment) != EXPECTED[source]
    ]
    assert changed == []


@pytest.mark.needs("golem")
def test_new_expressions_agree_with_the_languages_own_core(
    value_of: Evaluate, environment: dict[str, Any]
) -> None:
    engine = importlib.import_module("golem").Engine(strict_vars=False, eval_timeout_ms=10_000)
    generator = Generator(Random())
    sources = {generator.any(2) for _ in range(300)}
    differing = [
        source
        for source in sources
        if not agree(our_answer(value_of, source), answer(engine, source, environment))
    ]
    assert len(differing) <= 0.03 * len(sources), differing
