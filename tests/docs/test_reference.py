"""The reference pages are what the code says, and the generator notices when they are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from opcode_runtime.core import fsm
from opcode_runtime.testing import reference, reference_language_words, reference_words

from .blocks import ROOT


def test_no_page_of_the_reference_is_stale() -> None:
    stale = reference.stale(ROOT / reference.FOLDER)
    assert stale == [], "write them with: python -m opcode_runtime.testing.reference"


def test_a_changed_a_missing_and_a_foreign_page_are_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--folder", str(tmp_path)]
    assert reference.main(arguments) == 0
    assert reference.main([*arguments, "--check"]) == 0
    with (tmp_path / "errors.md").open("a") as page:
        page.write("more")
    (tmp_path / "tools.md").unlink()
    (tmp_path / "gone.md").write_text("no longer made")
    capsys.readouterr()
    assert reference.main([*arguments, "--check"]) == 1
    said = [line.rpartition("/")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["errors.md", "gone.md", "tools.md"]
    assert reference.main(arguments) == 0
    assert reference.stale(tmp_path) == []


def test_a_setting_without_words_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(reference_words.SETTINGS, "pool_size")
    with pytest.raises(LookupError, match="pool_size"):
        reference.pages()


def test_a_key_or_a_change_of_status_without_words_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(reference_language_words.KEYS["loop"], "over")
    with pytest.raises(LookupError, match=r"keys of loop: .* over"):
        reference.pages()
    monkeypatch.undo()
    monkeypatch.delitem(reference_language_words.WHEN_STEP, "failed step_reset")
    with pytest.raises(LookupError, match="failed step_reset"):
        reference.pages()
    monkeypatch.undo()
    monkeypatch.setitem(reference_language_words.OURS, "retry", frozenset({"jitter", "gone"}))
    with pytest.raises(LookupError, match="gone"):
        reference.pages()


def test_every_key_of_ours_is_marked_and_listed_on_one_page() -> None:
    page = reference.pages()["definition.md"]
    listed = page[page.index("## Keys of ours") :]
    for table, ours in reference_language_words.OURS.items():
        part = page[page.index(f"## {reference_language_words.TITLES[table]}\n") :]
        for key in ours:
            assert f"| `{key}` + |" in part
            assert f"`{key}`" in listed


def test_the_state_machines_are_drawn_from_the_tables() -> None:
    page = reference.pages()["state-machines.md"]
    for (before, event), after in [*fsm.WORKFLOW.items(), *fsm.STEP.items()]:
        if before.value != "scheduled":
            assert f"| `{before.value}` | `{event}` | `{after.value}` |" in page
            assert re.search(
                rf"^    {before.value} --> {after.value}: .*\b{event}\b", page, re.MULTILINE
            )


def test_every_page_names_what_it_is_made_from() -> None:
    pages = reference.pages()
    assert "`VALIDATION_ERROR`" in pages["errors.md"]
    assert "## shell.exec" in pages["actions.md"]
    assert "`OPCODE_POOL_SIZE`" in pages["settings.md"]
    assert "`on_interrupt`" in pages["definition.md"]
    assert "## step_started" in pages["events.md"]
    assert "active --> suspended: workflow_suspended" in pages["state-machines.md"]
    assert "## opcode.define" in pages["tools.md"]
    assert "--idempotency-key" in pages["cli.md"]
