"""The place between the engine and the disk where a drill looks on and interferes.

A tap sees every commit of one life: before it, after it, and whose turn it was. It keeps the book, takes images, and
does at one commit what the drill has in mind (a zombie writer, a duplicate, a kill).

The engine takes a journal of the caller's, but no stranger's built-in actions, vault and actors, and should not. So
for as long as a life lasts the names under which it finds those are bound to ours, which add to the engine's. One bound
of the engine is by the real clock: how long a turn may work in place. It is lifted, so that every life has the same
commits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from actors import ActorDeadError
from opcode_runtime.actions import Registry
from opcode_runtime.core.decide import Answer
from opcode_runtime.drill.book import Book, kind_of
from opcode_runtime.drill.images import Image, Reel
from opcode_runtime.drill.marks import open_marks
from opcode_runtime.engine import opening, workflow, workflows
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.record import Record
from opcode_runtime.storage import Append, Appended, Journal
from opcode_runtime.storage.reader import StreamReader

LATER = 2
"""A report that is delivered twice comes once more behind each of so many later commits."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a commit: `stream` is the lasting name of its workflow, or the stream itself."""

    stream: str
    seq: int
    type: str
    path: str

    def __str__(self) -> str:
        where = f" {self.path}" if self.path else ""
        return f"{self.stream or 'workflow'}#{self.seq} {self.type}{where}"


@dataclass(slots=True)
class Commit:
    """One commit of a life. `before` and `after` number images in the reel; `at` is trio's time."""

    number: int
    at: float
    entries: tuple[Entry, ...]
    keys: tuple[str, ...] = ()
    before: int = 0
    after: int = 0

    def __str__(self) -> str:
        first, last = self.entries[0], self.entries[-1]
        return str(first) if first == last else f"{first} to {last}"


Hook = Callable[[int], None]


def everything(journal: StreamReader) -> list[Record]:
    """All that a journal holds, in the order in which it was written."""
    found: list[Record] = []
    while records := journal.read_all(found[-1].position if found else 0):
        found += records
    return found


@dataclass(slots=True)
class Tap:
    """Looks on at one life in `folder`, the journal's. Made inside the life's own run of trio.

    Arguments:
        reel: whether images are taken.
        on_opened: called when a journal was opened and is in the book.
        before, after: called with the number of each commit, right before and right after it.
        twice_at: the number of the commit whose cause is delivered twice.
    """

    folder: Path
    book: Book = field(default_factory=Book)
    filming: bool = False
    on_opened: Callable[[], None] | None = None
    before: Hook | None = None
    after: Hook | None = None
    twice_at: int = 0
    commits: list[Commit] = field(default_factory=list)
    reel: Reel | None = None
    grew: trio.Event = field(default_factory=trio.Event)
    _turns: dict[Any, tuple[Any, cmd.AnyCommand]] = field(default_factory=dict)
    _again: list[tuple[Any, cmd.AnyCommand, int]] = field(default_factory=list)
    _token: trio.lowlevel.TrioToken = field(default_factory=trio.lowlevel.current_trio_token)
    _count: int = 0

    def opened(self, journal: Journal) -> None:
        """A journal was opened in this life: what is in it goes into the book."""
        self.book.take_all(everything(journal))
        if self.on_opened is not None:
            self.on_opened()

    def append(self, append: Callable[[], Sequence[Any]], batch: Sequence[Any]) -> Sequence[Any]:
        """Let a batch through to the journal, with all that happens around a commit."""
        number = self._count + 1
        image = self._film()
        if self.before is not None and any(isinstance(each, Append) for each in batch):
            self.before(number)
        answers = append()
        if not any(isinstance(answer, Appended) for answer in answers):
            return answers
        self._count = number
        if self.after is not None:
            self.after(number)
        if trio.lowlevel.in_trio_run():
            self._take(number, image, batch, answers)
        else:
            self._token.run_sync_soon(self._take, number, image, batch, answers)
        return answers

    def _film(self) -> int:
        if not self.filming:
            return 0
        image = Image.of(self.folder)
        if self.reel is None:
            self.reel = Reel.starting(image)
            return 0
        return self.reel.add(image)

    def _take(
        self,
        number: int,
        image: int,
        batch: Sequence[Any],
        answers: Sequence[Any],
    ) -> None:
        """Enter a commit, on the loop."""
        entries: list[Entry] = []
        keys: list[str] = []
        for append, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Appended):
                entries += self._enter(append, answer.first_seq, keys)
        commit = Commit(
            number, trio.current_time(), tuple(entries), tuple(keys), image, self._film()
        )
        self.commits.append(commit)
        self._repeat(number)
        self.grew.set()
        self.grew = trio.Event()

    def _enter(self, append: Append, seq: int, keys: list[str]) -> Iterator[Entry]:
        for offset, event in enumerate(append.events):
            self.book.take(append.stream, event)
            key = getattr(event, "key", None)
            if key is not None:
                keys.append(key[1])
            name = self.book.names.get(append.stream, append.stream)
            yield Entry(name, seq + offset, kind_of(event), getattr(event, "step_id", None) or "")

    async def turn(self, actor: Any, message: cmd.AnyCommand, turn: Callable[[], Any]) -> Answer:
        """Let an actor take a turn, so that a commit in it is known to come of `message`."""
        task = trio.lowlevel.current_task()
        self._turns[task] = (actor, message)
        try:
            answer: Answer = await turn()
            return answer
        finally:
            self._turns.pop(task, None)

    def _repeat(self, number: int) -> None:
        """Deliver a second time what led to the commit, at once and behind later ones."""
        due = [each for each in self._again if each[2] <= number]
        self._again = [each for each in self._again if each[2] > number]
        turn = (
            self._turns.get(trio.lowlevel.current_task()) if trio.lowlevel.in_trio_task() else None
        )
        if number == self.twice_at and turn is not None and _may_come_twice(turn[1]):
            due.append((*turn, number))
            self._again = [(*turn, number + later) for later in range(1, LATER + 1)]
        for actor, message, _ in due:
            _deliver(actor, message)


def _deliver(actor: Any, message: cmd.AnyCommand) -> None:
    try:
        actor.actor_ref.tell_system(message)
    except ActorDeadError:
        return  # it has left memory: a late report finds nobody, as it should


def _may_come_twice(message: cmd.AnyCommand) -> bool:
    """Whatever reports may come twice; a signal may where it has a key, and creation is the client's to repeat."""
    if isinstance(message, cmd.SignalSent):
        return message.key is not None
    return not isinstance(message, cmd.Create | cmd.Recover)


def tapped_journal(tap: Tap) -> Callable[[], Journal]:
    """Opens the journal in the tap's folder so that every commit goes through the tap."""

    class TappedJournal(Journal):
        """A journal that a drill looks on at."""

        def append(self, batch: Sequence[Any]) -> Any:
            return tap.append(lambda: Journal.append(self, batch), batch)

    def open_journal() -> Journal:
        journal = TappedJournal.open(tap.folder)
        tap.opened(journal)
        return journal

    return open_journal


@contextmanager
def tapped(tap: Tap, registry: Callable[[], Registry]) -> Iterator[None]:
    """Have every runtime that is opened in the block find its actions in `registry`, and tell `tap` of its turns."""

    class TappedActor(WorkflowActor):
        """A workflow actor that says whose turn it is."""

        turns_beside = False

        async def on_receive(self, message: cmd.AnyCommand) -> Answer:
            return await tap.turn(self, message, lambda: WorkflowActor.on_receive(self, message))

    bound: tuple[tuple[Any, str, Any], ...] = (
        (opening, "builtin_registry", registry),
        (opening, "open_vault", open_marks),
        (workflows, "WorkflowActor", TappedActor),
        (workflow, "TURN_S_MAX", math.inf),
    )
    real = [getattr(module, name) for module, name, _ in bound]
    for module, name, ours in bound:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for (module, name, _), theirs in zip(bound, real, strict=True):
            setattr(module, name, theirs)
