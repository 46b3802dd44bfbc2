"""More probes of the planted bugs: lives of the runtime, and processes side by side, that need a scene of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pykka
import trio
from trio.testing import MockClock

import opcode_runtime
from actors import MailboxFull, TrioActor, open_actor_system
from drills.kill.checker import read_streams
from drills.planted.probes import in_child
from drills.syscalls.workload import all_records
from opcode_runtime import Runtime, Settings, open_runtime
from opcode_runtime.actions import Action, Call
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.storage import Append, Appended, Journal, JournalLocked, JournalUnknown

HOUR_S = 3_600.0
_END_S = 5.0
_FLOOD = 10_000
_OPEN = """
import sys
from pathlib import Path
from opcode_runtime.storage import Journal
Journal.open(Path(sys.argv[1])).close()
"""


def _virtual(act: Any, *arguments: Any) -> Any:
    return trio.run(act, *arguments, clock=MockClock(autojump_threshold=0))


def _work() -> Action:
    @opcode_runtime.action("probe.work", kind="effectful")
    async def do(params: dict[str, Any], call: Call) -> Any:
        await trio.sleep(0.2)
        if call.attempt <= params.get("failures", 0):
            raise OpcodeError(ErrorCode.EXECUTION_ERROR, "not yet")
        return {"attempt": call.attempt}

    return do


def _step(step_id: str, *after: str, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "action": "probe.work", "depends_on": list(after), **more}


def _streams(folder: Path) -> list[str]:
    """What is wrong with the journal below `folder`."""
    with Journal.open(folder / "journal") as journal:
        problems, streams = journal.verify(), read_streams(all_records(journal))
    return problems + [problem for stream in streams.values() for problem in stream.problems]


def told_twice(folder: Path) -> Iterator[str]:
    """Every report of a step comes a second time, when the next attempt, or the next step, is at work."""

    def check() -> Sequence[str]:
        with patch.object(WorkflowActor, "report", _reporting_twice(WorkflowActor.report)):
            status = _virtual(_run_retried, folder / "data")
        return [
            *([] if status == "completed" else [f"it ended {status}"]),
            *_streams(folder / "data"),
        ]

    yield from in_child(folder, check)


def _reporting_twice(report: Any) -> Any:
    def twice(actor: WorkflowActor, command: Any) -> None:
        report(actor, command)
        if isinstance(command, cmd.StepReported):
            trio.lowlevel.spawn_system_task(_later, actor, command)

    async def _later(actor: WorkflowActor, command: Any) -> None:
        await trio.sleep(0.1)
        try:
            report(actor, command)
        except pykka.ActorDeadError:
            return

    return twice


async def _run_retried(data_dir: Path) -> str:
    retry = {"max": 3, "backoff": "constant", "delay": "10ms"}
    steps = [
        _step("a", params={"failures": 1}, retry=retry),
        _step("b", "a", params={"failures": 2}, retry=retry),
        _step("c", "b"),
    ]
    with trio.fail_after(HOUR_S):
        async with open_runtime(data_dir, actions=[_work()]) as runtime:
            await runtime.define("t", {"steps": steps})
            handle = await runtime.run("t")
            return str((await handle.wait(60))["status"])


def overdue(folder: Path) -> Iterator[str]:
    """The process ends; while it is gone a wait is over, and the time for a decision. Both act once, at once."""

    def check() -> Sequence[str]:
        return [*_virtual(_through_the_night, folder / "data"), *_streams(folder / "data")]

    yield from in_child(folder, check)


async def _through_the_night(data_dir: Path) -> list[str]:
    ids: list[str] = []
    asks = {"prompt_context": "?", "options": [{"id": "y"}], "timeout": "1h", "fallback": "y"}
    waits = {"id": "w", "type": "wait", "config": {"duration": "1h"}}
    with trio.CancelScope() as scope:
        async with open_runtime(
            data_dir, actions=[_work()], settings=Settings(drain_s=0)
        ) as runtime:
            await runtime.define("waits", {"steps": [waits, _step("a", "w")]})
            question = {"id": "q", "type": "reasoning", "config": asks}
            await runtime.define("asks", {"steps": [question, _step("a", "q")]})
            ids += [(await runtime.run(name)).workflow_id for name in ("waits", "asks")]
            await trio.sleep(HOUR_S / 6)
            scope.cancel()
            await trio.sleep_forever()
    await trio.sleep(2 * HOUR_S)
    async with open_runtime(data_dir, actions=[_work()]) as runtime:
        await trio.sleep(60)
        views = [await runtime.status(each) for each in ids]
    return [
        f"{view['template_name']} is {view['status']} a minute after the start"
        for view in views
        if view["status"] != "completed"
    ]


def closing(folder: Path) -> Iterator[str]:
    """A runtime with waiting workflows is closed; it ends in time and leaves no outcome of what it cut."""

    def check() -> Sequence[str]:
        began = time.monotonic()
        trio.run(_open_and_close, folder / "data")
        took_s = time.monotonic() - began
        return [f"closing took {took_s:.0f} s"] if took_s > _END_S else _streams(folder / "data")

    yield from in_child(folder, check, deadline_s=8)


async def _open_and_close(data_dir: Path) -> None:
    chosen = Settings(drain_s=0.1, min_free_bytes=0)
    async with open_runtime(data_dir, actions=[_work()], settings=chosen) as runtime:
        waits = {"id": "w", "type": "wait", "config": {"duration": "240h"}}
        await runtime.define("t", {"steps": [waits]})
        await runtime.run("t")
        await trio.sleep(0.1)


def unknown_commit(folder: Path) -> Iterator[str]:
    """The result of a commit becomes unknown, and nothing of it is on disk; what was acknowledged is there."""
    for number in range(3, 13):
        place = folder / str(number)

        def check(place: Path = place, number: int = number) -> Sequence[str]:
            return _after_unknown(place / "data", number)

        yield from in_child(place, check)


def _after_unknown(data_dir: Path, number: int) -> list[str]:
    acked: list[tuple[str, str]] = []
    with patch.object(Journal, "append", _losing(number)):
        try:
            _virtual(_call_until_lost, data_dir, acked)
        except BaseException as error:
            print(repr(error))
    problems = []
    with Journal.open(data_dir / "journal") as journal:
        for kind, workflow_id in acked:
            found = [record.event for record in journal.read(workflow_id)]
            signalled = any(isinstance(event, ev.SignalReceived) for event in found)
            if not found or (kind == "signal" and not signalled):
                problems.append(f"an acknowledged {kind} is not in the journal")
    return problems


def _losing(number: int) -> Any:
    """`Journal.append` whose `number`-th commit, and all after it, come to nothing, with an unknown result."""
    real, calls = Journal.append, [0]

    def append(journal: Journal, batch: Sequence[Any]) -> Any:
        calls[0] += 1
        if calls[0] >= number:
            raise JournalUnknown("planted by the probe")
        return real(journal, batch)

    return append


async def _call_until_lost(data_dir: Path, acked: list[tuple[str, str]]) -> None:
    with trio.fail_after(HOUR_S):
        async with open_runtime(
            data_dir, actions=[_work()], settings=Settings(drain_s=0)
        ) as runtime:
            waits = {"id": "w", "type": "wait", "config": {"signal": "go"}}
            await runtime.define("t", {"steps": [waits]})
            for _ in range(10):
                await _call(runtime, acked)


async def _call(runtime: Runtime, acked: list[tuple[str, str]]) -> None:
    """A client elsewhere: it hears the answer, however soon the runtime goes down after it."""
    with trio.CancelScope(shield=True):
        handle = await runtime.run("t")
        acked.append(("run", handle.workflow_id))
        await runtime.signal(handle.workflow_id, "data", {"n": 1})
        acked.append(("signal", handle.workflow_id))


def two_writers(folder: Path) -> Iterator[str]:
    """The lock is lost, and a second process takes the journal: the first one must not write any more."""
    (folder / "journal").parent.mkdir(parents=True, exist_ok=True)
    go, done = folder / "go", folder / "done"

    def zombie() -> Sequence[str]:
        seen = [ev.AgentSeen(at=1.0, agent_id="z", agent_type="system")]
        with Journal.open(folder / "journal") as journal:
            journal.append([Append("agent/z", 0, tuple(seen))])
            _overtake(folder / "journal", go, done)
            try:
                answers = journal.append([Append("agent/z", 1, tuple(seen))])
            except JournalLocked:
                return []
            return [f"a second writer had come, and the first got {type(answers[0]).__name__}"]

    yield from in_child(folder, zombie)


def _overtake(journal: Path, go: Path, done: Path) -> None:
    """Another process opens the journal, though this one has it: somebody removed the lock file."""
    (journal / "lock").unlink()
    subprocess.run([sys.executable, "-c", _OPEN, str(journal)], check=True, timeout=20)


def racing_appends(folder: Path) -> Iterator[str]:
    """Two owners of one stream write in turns, both from what they know: what is acknowledged is there, in place."""

    def check() -> Sequence[str]:
        known: dict[str, int] = {"a": 0, "b": 0}
        acked: dict[int, str] = {}
        with Journal.open(folder / "journal") as journal:
            for turn, owner in enumerate("aabbabab"):
                event = ev.AgentSeen(at=float(turn), agent_id=owner, agent_type="system")
                answer = journal.append([Append("agent/x", known[owner], (event,))])[0]
                if isinstance(answer, Appended):
                    known[owner] = answer.last_seq
                    if known[owner] - 1 in acked and acked[known[owner] - 1] != owner:
                        return [f"{owner} wrote behind an event that it did not know"]
                    acked[answer.last_seq] = owner
            found = {r.seq: r.event.agent_id for r in journal.read("agent/x")}  # type: ignore[union-attr]
        return [] if found == acked else [f"acknowledged {acked}, found {found}"]

    yield from in_child(folder, check)


def left_children(folder: Path) -> Iterator[str]:
    """Process and supervisor are killed, a step's child is left: it is gone before the next start is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "pid"
    daemon = os.fork()
    if daemon == 0:
        with (folder / "said").open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        trio.run(_hold_child, folder / "data", mark)
        os._exit(0)
    pid = _pid_in(mark)
    supervisor = _parent(_parent(pid)) if pid else 0
    os.kill(daemon, signal.SIGSTOP)
    for each in (supervisor, daemon):
        if each > 1:
            os.kill(each, signal.SIGKILL)
    os.waitpid(daemon, 0)
    if not pid or not _lives(pid):
        yield "the scene did not come about: no child was left"
        return
    yield from in_child(folder, lambda: trio.run(_start_beside, folder / "data", pid))
    if _lives(pid):
        os.kill(pid, signal.SIGKILL)


async def _hold_child(data_dir: Path, mark: Path) -> None:
    command = f"sleep 30 & echo $! > {mark}.new; mv {mark}.new {mark}; wait"
    params = {"command": command, "shell": True}
    step = {"id": "s", "action": "shell.exec", "params": params, "on_interrupt": "fail"}
    # Under bubblewrap nothing can be left: the kernel ends the tree with its first process.
    settings = Settings(min_free_bytes=0, isolation="rlimits")
    async with open_runtime(data_dir, settings=settings) as runtime:
        await runtime.define("t", {"steps": [step]})
        await runtime.run("t")
        await trio.sleep(60)


def _pid_in(mark: Path) -> int:
    for _ in range(500):
        if mark.exists():
            return int(mark.read_text())
        time.sleep(0.02)
    return 0


async def _start_beside(data_dir: Path, pid: int) -> list[str]:
    async with open_runtime(data_dir, settings=Settings(min_free_bytes=0, drain_s=0)):
        return ["a child of the dead daemon lives beside its successor"] if _lives(pid) else []


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def flood(folder: Path) -> Iterator[str]:
    """A sender is faster than the actor it writes to: it is refused before memory is gone."""

    def check() -> Sequence[str]:
        return _virtual(_flood)  # type: ignore[no-any-return]

    yield from in_child(folder, check)


class _Stuck(TrioActor[int, None]):
    """Takes one message and thinks about it for ever."""

    mailbox_size_max = 100

    async def on_receive(self, message: int) -> None:
        await trio.sleep_forever()


async def _flood() -> list[str]:
    taken = 0
    with trio.CancelScope() as scope:
        async with open_actor_system() as system:
            ref = await system.spawn(_Stuck, name="stuck")
            try:
                for taken in range(_FLOOD):
                    ref.tell(taken)
            except MailboxFull:
                pass
            scope.cancel()
    return (
        [f"an actor that takes none was sent {taken}"]
        if taken > 2 * _Stuck.mailbox_size_max
        else []
    )
