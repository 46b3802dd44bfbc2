"""What goes on in a runtime beside the calls: taking up workflows, waking them, and looking after the journal.

Each of these is a task that ends with the runtime. What they find out about the journal as a whole is an event in a
stream of its own.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog
import trio

from opcode_runtime.actions import ActionSettings
from opcode_runtime.actions.shell_fence import isolation_for
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.engine.keys import KEPT_S
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.recovery import read_off_loop
from opcode_runtime.engine.wakeups import WAKES_AT_ONCE
from opcode_runtime.engine.workflows import Workflows
from opcode_runtime.expressions import compile_expression
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.events import AnyEvent, ClockJumped, JournalChecked, WorkflowsPruned
from opcode_runtime.model.journal_events import JOURNAL_STREAM
from opcode_runtime.storage import (
    Append,
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalUnknown,
    Prune,
    Pruned,
)

LOOK_S = 5.0
"""How often the clock and the claim to the journal are looked at."""

JUMP_S = 60.0
"""A wall clock that is set by more than this is worth an event."""

PRUNE_FIRST_S = 60.0
PRUNE_EVERY_S = 6 * 3600.0
PRUNE_WORKFLOWS = 100
PRUNE_EVENTS = 5_000
"""What is pruned in one commit: everybody else's wait for it. A family goes as a whole, however large."""

DAY_S = 86_400.0
_ALL = sys.maxsize

_log = structlog.get_logger("opcode.caretaker")

Note = Callable[[AnyEvent], Awaitable[None]]


def start(nursery: trio.Nursery, kit: Kit, workflows: Workflows, recovered: trio.Event) -> None:
    """Start every task; `recovered` is set when the open workflows have been taken up."""
    note = Notes(kit).write
    nursery.start_soon(watch_poison, kit.writer)
    nursery.start_soon(_take_up, kit, workflows, recovered)
    nursery.start_soon(kit.timers.run)
    nursery.start_soon(kit.wakeups.run)
    for _ in range(WAKES_AT_ONCE):
        nursery.start_soon(kit.wakeups.wake)
    nursery.start_soon(_note_checks, kit, note)
    nursery.start_soon(_prune_for_ever, kit, note)
    if kit.clock.virtual:
        return
    nursery.start_soon(watch_clock, note)
    nursery.start_soon(watch_claim, kit)
    nursery.start_soon(check_rows, kit)
    nursery.start_soon(trio.to_thread.run_sync, _warm_up, kit.action_settings)


class Notes:
    """Writes down what happens to the journal as a whole, one event after the other."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._turn = trio.Lock()

    async def write(self, event: AnyEvent) -> None:
        """Put `event` into the journal's own stream. One that cannot be written is logged."""
        kit = self._kit
        async with self._turn:
            try:
                seq = kit.journal.head(JOURNAL_STREAM)[0]
                await kit.writer.append(Append(JOURNAL_STREAM, seq, (event,)))
            except OpcodeError as error:
                _log.warning("not_noted", kind=type(event).__name__, error=error.message)


async def watch_poison(writer: JournalWriter) -> None:
    """An unknown commit result ends the runtime: only a fresh look at the journal tells what is true."""
    await writer.poisoned.wait()
    assert writer.poison is not None
    raise writer.poison


@dataclass(frozen=True, slots=True)
class _Found:
    """The open workflows of a journal: those that go on by themselves, and when something falls due in the others."""

    active: list[str]
    due: list[tuple[float, str]]
    behind_s: float


async def _take_up(kit: Kit, workflows: Workflows, recovered: trio.Event) -> None:
    found = await read_off_loop(kit.clock, lambda: _look_for_open(kit))
    for due, workflow_id in found.due:
        kit.wakeups.found(workflow_id, due, behind_s=found.behind_s)
    await workflows.recover(found.active)
    recovered.set()


def _look_for_open(kit: Kit) -> _Found:
    """Suspended workflows stay on disk until somebody speaks to them, or until something in them falls due.

    A clock that was set back while nobody was here makes no timer longer.
    """
    behind_s = max(0.0, (kit.journal.last_at() or 0.0) - kit.clock.now())
    return _Found(kit.journal.active_workflows(), kit.journal.wakeups(None, _ALL), behind_s)


async def _note_checks(kit: Kit, note: Note) -> None:
    """What the journal found out while it was opened."""
    for reason in kit.journal.notices:
        await note(JournalChecked(at=kit.clock.now(), reason=reason))


async def watch_clock(note: Note, wall: Callable[[], float] = time.time) -> None:
    """Note when the wall clock is set. Timers go by the monotonic clock, so it moves none."""
    offset = wall() - trio.current_time()
    while True:
        await trio.sleep(LOOK_S)
        jump_s = wall() - trio.current_time() - offset
        offset += jump_s
        if abs(jump_s) > JUMP_S:
            _log.warning("clock_jumped", by_s=round(jump_s, 3))
            await note(ClockJumped(at=wall(), by_s=jump_s))


async def watch_claim(kit: Kit) -> None:
    """End the runtime when the journal has come into other hands, also while it has nothing to write."""
    while True:
        await trio.sleep(LOOK_S)
        try:
            await read_off_loop(kit.clock, kit.journal.renew)
        except JournalLocked as error:
            kit.writer.give_up(f"the journal is no longer ours: {error.message}")
            return
        except (JournalCorrupt, JournalUnknown) as error:
            kit.writer.give_up(error.message)
            return
        except JournalError as error:
            _log.warning("claim_not_seen", error=error.message)


async def check_rows(kit: Kit) -> None:
    """See once that no row is hidden. Of a small journal that was seen at its opening, of a large one it takes long."""
    await trio.sleep(LOOK_S)
    try:
        await trio.to_thread.run_sync(lambda: deque(kit.journal.check_rows(), maxlen=0))
    except (JournalCorrupt, JournalUnknown) as error:
        kit.writer.give_up(error.message)
    except JournalError as error:
        _log.warning("rows_not_checked", error=error.message)


async def _prune_for_ever(kit: Kit, note: Note) -> None:
    """Remove ended workflows as `retention_days` and `retention_count` say."""
    await trio.sleep(PRUNE_FIRST_S)
    while True:
        try:
            await prune(kit, note)
        except OpcodeError as error:
            _log.warning("not_pruned", error=error.message)
        await trio.sleep(PRUNE_EVERY_S)


async def prune(kit: Kit, note: Note) -> None:
    """Remove what may be removed now."""
    settings, workflows, events = kit.settings, 0, 0
    now = kit.clock.now()
    before = now - settings.retention_days * DAY_S if settings.retention_days else None
    look = partial(
        kit.journal.prunable,
        before,
        settings.retention_count,
        now,
        PRUNE_WORKFLOWS,
        keys_kept_s=KEPT_S,
        events_max=PRUNE_EVENTS,
    )
    while found := await read_off_loop(kit.clock, look):
        answer = await kit.writer.enter(Prune(tuple(found)))
        if not isinstance(answer, Pruned):
            break  # one of them was reopened in between
        workflows, events = workflows + answer.workflows, events + answer.events
    if workflows:
        _log.info("workflows_pruned", workflows=workflows, events=events)
        await note(WorkflowsPruned(at=now, workflows=workflows, events=events))


def _warm_up(settings: ActionSettings) -> None:
    """Do what the first expression and the first command would otherwise do on the loop: build the grammar, which takes
    a fifth of a second, and try out what the machine can fence commands with.
    """
    compile_expression("inputs.a == 'a' && has(inputs.b)")
    with suppress(OpcodeError):  # who runs a command will hear of it
        isolation_for(settings)
