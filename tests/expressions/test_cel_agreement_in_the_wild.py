"""Every expression, reference and token of the templates for the Go original has a value, the one that it should."""

from __future__ import annotations

import pytest

from opcode_runtime.expressions import compile_template
from tests.expressions.cel_oracle import agree, our_answer, their_answer
from tests.expressions.cel_scope import scope_of
from tests.expressions.cel_wild import (
    CONDITIONS,
    GUARDS,
    OVERS,
    PATHS_ONLY,
    REFERENCES,
    TOKENS,
    wild_document,
)

DOCUMENT = wild_document()
SCOPE = scope_of(DOCUMENT)


def test_all_of_them_are_here() -> None:
    assert [len(each) for each in (CONDITIONS, OVERS, GUARDS)] == [17, 9, 4]
    assert len({*REFERENCES, *PATHS_ONLY}) == 54
    assert len(set(TOKENS)) == len(TOKENS)


@pytest.mark.parametrize("text", [*CONDITIONS, *OVERS, *GUARDS, *REFERENCES])
def test_both_engines_give_the_same_value(text: str) -> None:
    ours = our_answer(text, SCOPE)
    assert "value" in ours
    assert agree(ours, their_answer(text, DOCUMENT))


@pytest.mark.parametrize("text", [*PATHS_ONLY, *TOKENS])
def test_a_path_leads_where_its_names_say(text: str) -> None:
    value = DOCUMENT
    plain = text.replace("['", ".").replace("']", "").replace(".output.", ".")
    for name in plain.removesuffix(".output").split("."):
        value = value[name]
    template = compile_template(f"${{{{{text}}}}}", step_ids=SCOPE.steps.keys())
    assert template.render(SCOPE) == value
