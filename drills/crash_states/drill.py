"""Power loss: build every state of the disk that a power failure may leave, and open each of them.

Fault model: the power fails at any moment of a recorded life, from the first `mkdir` on. The disk keeps what was
synced. Of everything else it keeps any part, in any order, sector by sector (crash_states_disk.py says what the
rules allow): pages of the data file, the witness, which is never synced, new names and renames. It does not invent
data, does not lose what it has said to be durable, and writes sectors of 512 bytes whole; disks that break these
rules are the corruption drill's business.

What must hold of every state: the journal opens, checks as sound, and holds a prefix of what was written, ending at
the end of a commit, with everything that was acknowledged before that moment. Before the first acknowledgement an
empty journal, freshly begun, is such a prefix. In some of the states the journal is also written to and opened
again.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drills.crash_states.disk import Disk, Moment, State, image_of, states_of
from drills.crash_states.trace import CALLS, Acknowledge, Trace
from drills.result import Result, Strength
from drills.syscalls.strace import ran_under_strace
from drills.syscalls.workload import all_records, work
from opcode_runtime.model.events import AgentSeen
from opcode_runtime.storage import Append, Journal

WORKERS = 2
PROBLEMS_MAX = 20
_STRINGS_MAX = 4 << 20
_DULL_MAX = 50
"""So many states in a row that were built before: the moment has no others."""

Told = tuple[str, int, object]
"""An event with its place: stream, seq, event."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded life: the moments at which the power may fail, and what a reader may find.

    `told` is the whole journal in order; `acknowledged[n]` is how many of its records n marks promise; a commit ends at
    each of `ends`.
    """

    workload: str
    moments: list[Moment]
    told: list[Told]
    acknowledged: list[int]
    ends: frozenset[int]


def run(strength: Strength, seed: int, scratch: Path) -> Result:
    """Record, build, open."""
    began = time.monotonic()
    total = strength.of(1_000, 10_000, 500_000)
    recordings = {
        Strength.TENTH: ("nested",),
        Strength.FULL: ("nested", "flat"),
        Strength.NIGHTLY: ("nested", "flat", "large"),
    }[strength]
    recorded = [record(scratch / f"recorded.{name}", name) for name in recordings]
    result = Result("crash_states", "")
    done: Counter[str] = Counter()
    for recording in recorded:
        share = total // len(recorded)
        for found, problems in _in_parallel(recording, share, seed, scratch):
            done.update(found)
            result.problems += problems
    result.done = f"{done['states']:,} states of {sum(len(r.moments) for r in recorded)} moments"
    result.figures = {name: str(count) for name, count in sorted(done.items()) if name != "states"}
    if done["states"] < total // 2:
        result.problems.append(f"only {done['states']} different states of {total} were found")
    result.problems = result.problems[:PROBLEMS_MAX]
    result.seconds = time.monotonic() - began
    return result


def record(folder: Path, workload: str) -> Recording:
    """Live twice under strace, the first time from nothing, and read the log."""
    folder.mkdir(parents=True)
    data_dir, marks, log = folder / "data", folder / "marks", folder / "log"
    journal_dir = data_dir / "journal"

    def live() -> None:
        for key in ("one", "two"):
            work(data_dir, marks, folder / "effects", workload, key)

    options = ["-xx", "-s", str(_STRINGS_MAX), "-o", str(log), "-e", f"trace={CALLS}"]
    status = ran_under_strace(options, live)
    if status:
        raise RuntimeError(f"the workload to be recorded ended with {status}")
    operations = Trace(journal_dir, marks).read(log)
    acknowledged = [0]
    for operation in operations:
        if isinstance(operation, Acknowledge):
            at = [json.loads(line)[3] for line in operation.text.splitlines()]
            acknowledged.append(max(acknowledged[-1], *at))
    with Journal.open(journal_dir) as journal:
        told = _told(journal)
    moments = list(Disk(str(journal_dir)).play(operations))
    return Recording(workload, moments, told, acknowledged, frozenset(acknowledged))


def _told(journal: Journal) -> list[Told]:
    return [(record.stream, record.seq, record.event) for record in all_records(journal)]


def _in_parallel(
    recording: Recording, total: int, seed: int, scratch: Path
) -> list[tuple[Counter[str], list[str]]]:
    """Every worker takes its share of the moments."""
    context = multiprocessing.get_context("fork")
    per_moment = -(-total // len(recording.moments))
    parts = [
        (recording, recording.moments[n::WORKERS], per_moment, seed, scratch / f"images.{n}")
        for n in range(WORKERS)
    ]
    found = []
    processes = []
    for part in parts:
        receive, send = context.Pipe(duplex=False)
        process = context.Process(target=_work_on, args=(send, *part))
        process.start()
        send.close()
        processes.append((process, receive, part))
    for process, receive, part in processes:
        try:
            found.append(receive.recv())
        except EOFError:
            found.append((Counter[str](), [_died(process, part[4])]))
        process.join()
    return found


def _died(process: multiprocessing.process.BaseProcess, images: Path) -> str:
    process.join()
    at = (images / "at").read_text() if (images / "at").exists() else "before the first state"
    return f"the reader of the images died ({process.exitcode}) at {at}"


def _work_on(
    send: multiprocessing.connection.Connection,
    recording: Recording,
    moments: Sequence[Moment],
    per_moment: int,
    seed: int,
    images: Path,
) -> None:
    images.mkdir(parents=True, exist_ok=True)
    done: Counter[str] = Counter()
    problems: list[str] = []
    owed = 0
    for moment in moments:
        owed += per_moment
        for number, state in enumerate(_different(moment, owed, seed)):
            owed -= 1
            (images / "at").write_text(f"moment {moment.number}, state {number}")
            problem = check_state(recording, moment, state, images / "journal", done)
            if problem and len(problems) < PROBLEMS_MAX:
                problems.append(_named(recording, moment, number, seed, problem))
    send.send((done, problems))
    send.close()


def _named(recording: Recording, moment: Moment, number: int, seed: int, problem: str) -> str:
    again = f"python -m drills --full --seed {seed} crash_states"
    where = f"{recording.workload}, moment {moment.number} of {len(recording.moments)}"
    return f"{where}, state {number}: {problem} (again: {again})"


def _different(moment: Moment, count: int, seed: int) -> Iterator[State]:
    """At most `count` states of a moment, none of them twice."""
    chance = random.Random(f"{seed} {moment.number}")
    seen: set[State] = set()
    dull = 0
    for state in states_of(moment, chance):
        if len(seen) >= count or dull > _DULL_MAX:
            return
        if state in seen:
            dull += 1
            continue
        dull = 0
        seen.add(state)
        yield state


def check_state(
    recording: Recording, moment: Moment, state: State, folder: Path, done: Counter[str]
) -> str:
    """Lay a state out in `folder` and open it; what is wrong, as a sentence, or nothing."""
    lay_out(image_of(moment, state), folder)
    floor = recording.acknowledged[moment.acknowledged]
    done["states"] += 1
    try:
        with Journal.open(folder) as journal:
            done["checked whole, the witness was behind"] += bool(journal.notices)
            problem = find_problem(recording, journal, floor)
            if not problem and done["states"] % 10 == 0:
                problem = _go_on(journal, folder)
    except Exception as error:  # whatever it is, this state did not open
        return f"{type(error).__name__}: {error}"
    return problem


def find_problem(recording: Recording, journal: Journal, floor: int) -> str:
    """What an open journal holds that it should not, or lacks; nothing when it is a right prefix."""
    told = _told(journal)
    if len(told) < floor:
        return f"{floor} events were acknowledged, {len(told)} are there"
    if told != recording.told[: len(told)]:
        return "what is there is not what was written"
    if len(told) not in recording.ends:
        return f"it ends after {len(told)} events, in the middle of a commit"
    found = journal.verify()
    return found[0] if found else ""


def _go_on(journal: Journal, folder: Path) -> str:
    """Write something, close, and open again."""
    stream = "agent/after the crash"
    journal.append([Append(stream, 0, (AgentSeen(at=1.0, agent_id="after the crash"),))])
    before = journal.last_position()
    journal.close()
    with Journal.open(folder) as again:
        if again.last_position() != before:
            return "what was written after the crash is gone"
        found = again.verify()
    return f"after going on: {found[0]}" if found else ""


def lay_out(image: dict[str, bytes | None], folder: Path) -> None:
    """Make a folder be an image, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in sorted(image.items()):
        if content is None:
            (folder / path).mkdir(exist_ok=True)
        elif not path.endswith("lock.mdb"):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
