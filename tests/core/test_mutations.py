"""Faulty definitions are repaired by a program that only applies the patches it is given."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from opcode_runtime.core.validation import as_meant, validate
from tests.core.judges import REAL
from tests.core.mutations import Mutation, mutations
from tests.core.mutations_bases import BASES, Json
from tests.core.mutations_kinds import KINDS

ROUNDS_MAX = 3
MUTATIONS = mutations(KINDS)


def repaired(document: Any, schema: Json | None) -> tuple[Any, int | None]:
    """What patches make of a document, and after how many rounds it is valid; None when it never is."""
    for rounds in range(ROUNDS_MAX + 1):
        errors = validate(document, REAL, input_schema=schema).errors
        if not errors:
            return document, rounds
        document = as_meant(document, [problem.patch for problem in errors])
    return document, None


@pytest.mark.parametrize("name", BASES)
def test_the_definitions_to_start_from_are_valid(name: str) -> None:
    definition, schema = BASES[name]
    assert validate(definition, REAL, input_schema=schema).errors == ()


def test_there_are_three_hundred_mutations_of_a_hundred_kinds_or_so() -> None:
    assert len(MUTATIONS) >= 300
    assert len({mutation.kind.name for mutation in MUTATIONS}) == len(KINDS) >= 80
    assert len({(str(m), repr(m.document)) for m in MUTATIONS}) == len(MUTATIONS)


def test_every_mutation_is_found() -> None:
    missed = [
        str(each)
        for each in MUTATIONS
        if not validate(each.document, REAL, input_schema=each.schema).errors
    ]
    assert missed == []


def test_nearly_all_repairable_ones_are_repaired_within_three_rounds() -> None:
    repairable = [each for each in MUTATIONS if each.kind.repairable]
    stuck = [str(each) for each in repairable if repaired(each.document, each.schema)[1] is None]
    assert len(repairable) >= 300
    assert len(stuck) <= len(repairable) // 50, stuck


def test_most_repairs_bring_back_what_was_written() -> None:
    repairable = [each for each in MUTATIONS if each.kind.repairable]
    same = [each for each in repairable if _is_back(each)]
    assert len(same) >= len(repairable) * 0.85


def _is_back(each: Mutation) -> bool:
    return bool(repaired(each.document, each.schema)[0] == BASES[each.base][0])


def test_what_is_not_repairable_is_not_repaired_by_chance() -> None:
    lost = [each for each in MUTATIONS if not each.kind.repairable]
    lucky = [str(each) for each in lost if repaired(each.document, each.schema)[1] is not None]
    assert len(lost) >= 50
    assert lucky == []


def test_every_patch_can_be_applied_to_the_document_as_sent() -> None:
    failed: Counter[str] = Counter()
    for each in MUTATIONS:
        for problem in validate(each.document, REAL, input_schema=each.schema).errors:
            after = as_meant(each.document, [problem.patch])
            if problem.patch and repr(after) == repr(each.document):
                failed[f"{each}: {problem.pointer}"] += 1
    assert not failed
