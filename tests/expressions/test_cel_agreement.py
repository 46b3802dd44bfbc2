"""CEL against Google's own engine: thousands of expressions, live, by value and by type."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from opcode_runtime.expressions._cel_functions import FUNCTIONS, TYPES
from opcode_runtime.expressions._cel_macros import MACROS
from tests.conftest import ROOT
from tests.expressions.cel_differences import DIFFERENCES
from tests.expressions.cel_generator import Generator
from tests.expressions.cel_oracle import agree, our_answer, their_answer
from tests.expressions.cel_scope import document, scope_of
from tests.expressions.cel_wild import CONDITIONS, GUARDS, OVERS, REFERENCES

DOCUMENT = document()
PAGE = ROOT / "docs" / "reference" / "expressions.md"
SEED = 20261121


def hand_picked() -> list[str]:
    """The expressions of `cel_corpus.txt`."""
    lines = Path(__file__).with_name("cel_corpus.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("# ")]


def generated(seed: int, count: int) -> list[str]:
    """As many different expressions, the same for the same seed."""
    random = Random(seed)
    generator = Generator(random)
    found: dict[str, None] = {}
    while len(found) < count:
        found[generator.any(random.randint(1, 3))] = None
    return list(found)


HAND_PICKED = hand_picked()
CORPUS = [*HAND_PICKED, *generated(SEED, 2_000)]


def differing(sources: list[str]) -> list[str]:
    scope = scope_of(DOCUMENT)
    return [
        source
        for source in sources
        if not agree(our_answer(source, scope), their_answer(source, DOCUMENT))
    ]


def test_the_corpus_is_large_and_holds_nothing_twice() -> None:
    assert len(HAND_PICKED) == len(set(HAND_PICKED)) >= 900


def test_every_function_macro_type_and_operator_is_in_the_corpus() -> None:
    text = "\n".join(HAND_PICKED)
    called = [f"{name}(" for name in (*FUNCTIONS, *MACROS, "has")]
    signs = (
        "+",
        "-",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "!",
        "?",
        " in ",
        "[",
        "{",
    )
    assert [name for name in (*called, *TYPES, *signs) if name not in text] == []


def test_we_differ_where_we_say_so_and_nowhere_else() -> None:
    assert set(differing(CORPUS)) == DIFFERENCES.keys()
    assert len(DIFFERENCES) <= 0.01 * len(CORPUS)


def test_new_expressions_agree_whatever_they_are() -> None:
    differing_now = differing(generated(Random().randrange(1 << 32), 500))
    assert len(differing_now) <= 5, differing_now


def test_most_of_the_corpus_has_a_value() -> None:
    values = ["value" in their_answer(source, DOCUMENT) for source in CORPUS]
    assert sum(values) >= 2 / 3 * len(values)


def test_no_difference_is_among_the_expressions_in_the_wild() -> None:
    assert not DIFFERENCES.keys() & {*CONDITIONS, *GUARDS, *OVERS, *REFERENCES}


def test_every_difference_is_on_the_reference_page_with_its_reason() -> None:
    text = PAGE.read_text("utf-8")
    rows = dict(re.findall(r"^\| ([a-z][a-z ]+) \| (.+) \|$", text, re.MULTILINE))
    assert {reason for reason in DIFFERENCES.values() if reason not in rows} == set()
    assert f"{len(CORPUS):,} expressions of CEL" in text
    assert f"{len(DIFFERENCES)} of them differ" in text
    shown = {
        source: reason
        for reason in set(DIFFERENCES.values())
        for source in re.findall(r"`([^`]+)`", rows[reason].partition("In the corpus: ")[2])
    }
    assert shown == DIFFERENCES


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"value": 1}, {"value": 1.0}),
        ({"value": 1}, {"value": True}),
        ({"value": [1]}, {"value": [1.0]}),
        ({"value": {"a": 1}}, {"value": {"a": 1, "b": 2}}),
        ({"value": None}, {"error": True}),
        ({"value": "1"}, {"value": 1}),
    ],
)
def test_answers_that_only_look_alike_do_not_agree(
    ours: dict[str, object], theirs: dict[str, object]
) -> None:
    assert not agree(ours, theirs)
    assert not agree(theirs, ours)
    assert agree(ours, ours)
