"""What was promised during the drill, by whom, and whether the journal keeps it.

Rule 1: a reply that says yes is a promise: a run's workflow exists, a signal's key stands in its workflow, a definition
    has its version.
Rule 2: an event that was ever served stays as it was, at its place.
Rule 3: a key that was sent again means the same workflow, and no other has it.
Rule 4: a workflow ends as its twin, the same definition run without disturbance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from drills.kill.checker import check_effects, parse_effects, read_streams
from drills.kill.definitions import APPENDED, EFFECTS, OVERLAP
from opcode_runtime.engine.views import event_view
from opcode_runtime.model import events as ev
from opcode_runtime.model.record import Record

View = dict[str, Any]

_VOLATILE = frozenset({"duration_ms", "size", "resolved_at", "child_workflow_id"})


class History:
    """Every promise, kept while the drill runs."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.templates: dict[str, str] = {}
        self.signals: set[tuple[str, str]] = set()
        self.served: dict[str, dict[int, View]] = {}
        self.endings: dict[str, tuple[str, View]] = {}
        self.twins: dict[str, View] = {}
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()

    def on_run(self, key: str, workflow_id: str) -> None:
        """A run was acknowledged."""
        self.counts["runs"] += 1
        known = self.keys.setdefault(key, workflow_id)
        if known != workflow_id:
            self.problems.append(f"key {key} meant {known} and then {workflow_id}")

    def on_define(self, name: str, version: str) -> None:
        """A definition was acknowledged; the same content must keep its version."""
        known = self.templates.setdefault(name, version)
        if known != version:
            self.problems.append(f"{name} was {known} and, unchanged, became {version}")

    def on_signal(self, workflow_id: str, key: str) -> None:
        """A signal was acknowledged."""
        self.counts["signals"] += 1
        self.signals.add((workflow_id, key))

    def on_events(self, workflow_id: str, events: Iterable[View]) -> None:
        """Events were served."""
        seen = self.served.setdefault(workflow_id, {})
        for event in events:
            known = seen.setdefault(event["sequence"], event)
            if known != event:
                place = f"{workflow_id}:{event['sequence']}"
                self.problems.append(f"{place} was served as {known} and then as {event}")

    def on_end(self, workflow_id: str, name: str, view: View) -> None:
        """A workflow was shown as ended."""
        self.endings[workflow_id] = (name, ending_of(view))

    def acknowledged(self) -> int:
        """How many promises there are."""
        served = sum(len(events) for events in self.served.values())
        return len(self.keys) + len(self.signals) + len(self.templates) + served

    def check(self, records: Sequence[Record]) -> list[str]:
        """Compare the promises with the journal; what is broken, as sentences."""
        found = [*self.problems, *self._check_endings(), *self._check_served(records)]
        created: Counter[str] = Counter()
        signalled: Counter[tuple[str, str]] = Counter()
        defined: set[tuple[str, str]] = set()
        for record in records:
            match record.event:
                case ev.WorkflowCreated(key=(_, key, _)):
                    created[key] += 1
                    if self.keys.get(key, record.stream) != record.stream:
                        found.append(f"key {key} was told to mean {self.keys[key]}")
                case ev.SignalReceived(key=(_, key, _)):
                    signalled[record.stream, key] += 1
                case ev.TemplateDefined(name=name, version=version):
                    defined.add((name, version))
        found += [f"{n} workflows have the key {key}" for key, n in created.items() if n > 1]
        found += [f"the signal {each} acted {n} times" for each, n in signalled.items() if n > 1]
        found += [f"the workflow of key {key} is gone" for key in self.keys if not created[key]]
        found += [f"the signal {each} is gone" for each in self.signals if not signalled[each]]
        gone = self.templates.items() - defined
        return found + [f"the definition {name} {version} is gone" for name, version in gone]

    def _check_served(self, records: Sequence[Record]) -> list[str]:
        kept = {(record.stream, record.seq): record for record in records}
        problems = []
        for workflow_id, events in self.served.items():
            for seq, event in events.items():
                record = kept.get((workflow_id, seq))
                if record is None:
                    problems.append(f"{workflow_id}:{seq} was served and is gone")
                elif plain(event_view(record)) != event:
                    problems.append(f"{workflow_id}:{seq} was served otherwise than it is")
        return problems

    def _check_endings(self) -> list[str]:
        problems = [
            f"{workflow_id} ({name}) ended otherwise than its twin: {_difference(ending, twin)}"
            for workflow_id, (name, ending) in self.endings.items()
            if (twin := self.twins.get(name, ending)) != ending
        ]
        unended = set(self.keys.values()) - self.endings.keys()
        return problems + [f"{workflow_id} never ended" for workflow_id in unended]


def plain(value: Any) -> Any:
    """A value as it is after having been JSON."""
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(value))


def ending_of(view: View) -> View:
    """What an ending is compared by: statuses, reasons and outputs, without what no two lives have in common."""
    steps = {
        path: {key: _steady(step[key]) for key in ("status", "reason", "output") if key in step}
        for path, step in view["steps"].items()
    }
    error = (view.get("error") or {}).get("code")
    return {
        "status": view["status"],
        "output": view.get("output"),
        "error": error,
        "steps": steps,
        "open": view["pending_decisions"],
    }


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(inner) for key, inner in value.items() if key not in _VOLATILE}
    return [_steady(inner) for inner in value] if isinstance(value, list) else value


def _difference(ending: View, twin: View) -> str:
    for key in ("status", "output", "error", "open"):
        if ending[key] != twin[key]:
            return f"{key} is {ending[key]}, not {twin[key]}"
    paths = sorted(ending["steps"].keys() | twin["steps"].keys())
    for path in paths:
        found, wanted = ending["steps"].get(path), twin["steps"].get(path)
        if found != wanted:
            return f"{path} is {found}, not {wanted}"
    return "in nothing that is known"


def check_outside(records: Sequence[Record], effects: str, appended: str) -> list[str]:
    """Compare the journal with what the steps did outside.

    Arguments:
        effects: what the commands wrote.
        appended: what fs.append wrote.
    """
    problems = [line for line in effects.splitlines() if line.startswith(OVERLAP)]
    lines = "\n".join(line for line in effects.splitlines() if not line.startswith(OVERLAP))
    streams = read_streams(records)
    problems += [problem for stream in streams.values() for problem in stream.problems]
    commands, appends = _effectful(records)
    problems += check_effects(
        streams, parse_effects(lines), lambda workflow_id, path: (workflow_id, path) in commands
    )
    started: Counter[str] = Counter()
    completed: Counter[str] = Counter()
    for (workflow_id, path), line in appends.items():
        stream = streams[workflow_id]
        started[line] += stream.started[path]
        completed[line] += path in stream.completed and stream.resolved[path] is None
    wrote = Counter(appended.splitlines())
    for line in wrote.keys() | started.keys():
        if not completed[line] <= wrote[line] <= started[line]:
            seen = f"{completed[line]} completed, {wrote[line]} lines, {started[line]} attempts"
            problems.append(f"{APPENDED} has {line!r} wrongly: {seen}")
    return problems


def _effectful(
    records: Sequence[Record],
) -> tuple[set[tuple[str, str]], dict[tuple[str, str], str]]:
    """The steps that run a command, and those that append a line, with the line: their parameters tell."""
    commands: set[tuple[str, str]] = set()
    appends: dict[tuple[str, str], str] = {}
    for record in records:
        event = record.event
        if not isinstance(event, ev.StepStarted) or event.params is None:
            continue
        if EFFECTS in str(event.params.get("command", "")):
            commands.add((record.stream, event.step_id))
        elif event.params.get("path") == APPENDED:
            appends[record.stream, event.step_id] = str(event.params["content"]).rstrip("\n")
    return commands, appends
