"""The journal as workflow actors know it: the rules of `actors` hold, and both sides understand its errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from actors import persistence
from actors.testing import JournalContract
from opcode_runtime import OpcodeError
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.journal_port import JournalPort
from opcode_runtime.engine.journal_writer import open_journal_writer
from opcode_runtime.engine.room import Room
from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal, JournalFull, JournalUnknown


def logged(data: Any) -> ev.AnyEvent:
    """An event that holds `data`."""
    return ev.WorkflowLogged(at=1.0, step_id="s", level="info", message="x", data=data)


@asynccontextmanager
async def open_port(folder: Path) -> AsyncIterator[JournalPort]:
    """The port over a journal of its own."""
    with Journal.open(folder) as journal:
        clock = Clock.current()
        async with open_journal_writer(journal, Hub(), Room(journal.pressure, 0), clock) as writer:
            yield JournalPort(journal, writer, clock)


class TestJournalPort(JournalContract):
    """With its thread, by the real clock."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def open_journal(self) -> Any:
        return open_port(self.path / "journal")

    def event(self, number: int) -> ev.AnyEvent:
        return logged(number)

    def unstorable_event(self) -> ev.AnyEvent:
        return logged(object())


def refusing(error: Exception) -> Callable[[Journal, Any], Any]:
    def append(_: Journal, batch: Any) -> Any:
        raise error

    return append


@pytest.mark.parametrize(
    ("cause", "kind", "code"),
    [
        (JournalFull("injected"), persistence.JournalRejected, "DEGRADED"),
        (JournalUnknown("injected"), persistence.JournalUnknown, "STORE_ERROR"),
    ],
)
async def test_an_error_says_whether_anything_was_written_and_keeps_its_code(
    tmp_path: Path,
    cause: Exception,
    kind: type[Exception],
    code: str,
    autojump_clock: MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_port(tmp_path / "journal") as port:
        monkeypatch.setattr(Journal, "append", refusing(cause))
        with pytest.raises(kind) as failed:
            await port.append("s", 0, [logged(1)])
        assert isinstance(failed.value, OpcodeError)
        assert failed.value.code == code
        assert isinstance(failed.value.__cause__, OpcodeError)


async def test_a_conflict_is_one_for_both_sides(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_port(tmp_path / "journal") as port:
        await port.append("s", 0, [logged(1)])
        with pytest.raises(persistence.JournalConflict) as failed:
            await port.append("s", 0, [logged(2)])
        assert isinstance(failed.value, OpcodeError)
        assert failed.value.code == "CONFLICT"


async def test_the_port_shows_what_the_journal_holds(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with Journal.open(tmp_path / "journal") as journal:
        journal.append([Append("s", 0, (logged("a"), logged("b")))])
    async with open_port(tmp_path / "journal") as port:
        assert [stored.seq for stored in await port.read("s", 1)] == [2]
