"""The page of conformance is current and green, accounts for every row, and notices a row that asserts nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conformance import features, inventory, page
from tests.conformance.rows import asserts_outcome, row, rows_of

Rows = dict[str, page.Played]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return page.all_rows()


def test_the_page_is_current_and_every_row_on_it_passes(rows: Rows) -> None:
    written = page.PAGE.read_text("utf-8")
    assert written == page.render(rows), "write it with: python -m tests.conformance.page"
    assert "| fail" not in written
    assert "**none**" not in written


def test_every_row_asserts_something_about_the_outcome(rows: Rows) -> None:
    assert [key for key, each in rows.items() if not each.asserts] == []


def test_every_scenario_is_a_row_or_has_a_reason_not_to_be(rows: Rows) -> None:
    tables = (inventory.LATER, inventory.NO_COUNTERPART, inventory.ELSEWHERE)
    excused = [key for table in tables for ids in table.values() for key in ids]
    listed = [key for ids in inventory.areas().values() for key in ids]
    played = [key for key in rows if not key.startswith("ours/")]
    assert sorted(listed) == sorted(played + excused)
    assert len(listed) == len(set(listed))


def test_every_word_of_the_language_belongs_to_a_feature() -> None:
    known = [word for words in features.FEATURES.values() for word in words]
    assert sorted(known) == sorted(features.words())


@row("a", "says")
def nothing_asserted() -> None:
    assert True
    assert len([1]) == 1


@row("b", "says")
def asserted_only_perhaps(value: Any = None) -> None:
    if value:
        assert value == 1


@row("c", "says")
async def asserted(value: Any = None) -> None:
    with pytest.raises(AssertionError):
        assert value


def test_a_test_that_asserts_nothing_or_only_perhaps_is_noticed() -> None:
    judged = [asserts_outcome(test) for test in (nothing_asserted, asserted_only_perhaps, asserted)]
    assert judged == [False, False, True]


def test_a_row_that_asserts_nothing_counts_as_failed_even_when_it_is_green() -> None:
    planted = {
        each.id: page.Played(each, "m", "t", asserts_outcome(test))
        for test in (nothing_asserted, asserted)
        for each in rows_of(test)
    }
    assert page.render(planted, {"a": "pass", "c": "pass"}).count("1 of 2 rows pass") == 1
    assert [each.result for each in planted.values()] == ["fail: asserts nothing", "pass"]


def test_a_red_row_is_red_on_the_page(rows: Rows) -> None:
    first = next(iter(rows))
    assert f"{len(rows) - 1} of {len(rows)} rows pass" in page.render(rows, {first: "fail: failed"})


def test_the_rows_of_a_feature_speak_of_each_of_its_words(rows: Rows) -> None:
    sources = {path.stem: path.read_text("utf-8") for path in page.modules()}
    silent = []
    for feature, words in features.FEATURES.items():
        modules = {each.module for each in rows.values() if feature in each.row.covers}
        text = "\n".join(sources[module] for module in modules)
        names = {word: re.split(r"[ =]|(?<=\w)\.(?=\w+$)", word)[-1] for word in words}
        silent += [word for word, name in names.items() if not re.search(rf"\b{name}\b", text)]
    assert silent == []
