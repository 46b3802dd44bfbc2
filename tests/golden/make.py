"""Write the golden journal of this release: `python -m tests.golden.make`. Once per release, and never again.

Drawn workflows are played until every type of event has been seen with every set of fields that plays bring, as far as
a bounded number of plays goes. What is written is an export of a real journal, and beside it what each workflow looks
like in the end.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from opcode_runtime.core.evolve import evolve
from opcode_runtime.model import events as ev
from opcode_runtime.model.journal_events import JOURNAL_STREAM
from opcode_runtime.model.state import WorkflowState
from opcode_runtime.storage import Append, Journal, agent_stream, template_stream
from opcode_runtime.testing.workflows import Player, definition, plan_of
from opcode_runtime.upkeep import export
from opcode_runtime.upkeep.replay import view_of

PLAYS = 3_000
STEPS_MAX = 10
EVENTS_MAX = 120
FOLDER = Path(__file__).parent

Feature = tuple[str, ...]


def features(events: list[ev.AnyEvent]) -> set[Feature]:
    """Each type of event with the names of the fields that it was written with."""
    return {_feature(msgspec.to_builtins(event)) for event in events}


def _feature(payload: dict[str, Any]) -> Feature:
    return (payload["type"], *sorted(payload.keys() - {"type", "at"}))


def plays() -> Iterator[tuple[int, dict[str, Any], Player]]:
    """Drawn workflows, each played to its end."""
    for seed in range(PLAYS):
        document = definition(random.Random(seed), STEPS_MAX)
        player = Player(plan_of(document), seed)
        for _ in player.play():
            pass
        if len(player.events) <= EVENTS_MAX:
            yield seed, document, player


def chosen() -> list[tuple[int, dict[str, Any], Player]]:
    """The plays that bring something that none before them has brought."""
    seen: set[Feature] = set()
    found = []
    for seed, document, player in plays():
        brought = features(player.events)
        if brought - seen:
            seen |= brought
            found.append((seed, document, player))
    return found


def streams_of(
    seed: int, document: dict[str, Any], player: Player
) -> tuple[str, tuple[ev.AnyEvent, ...], ev.TemplateDefined]:
    """The workflow's id and events, and its template, under names of their own."""
    name, workflow_id = f"drawn-{seed}", f"{seed:032x}"
    created, *rest = player.events
    assert isinstance(created, ev.WorkflowCreated)
    names = {"workflow_id": workflow_id, "name": name, "template_name": name, "key": None}
    template = ev.TemplateDefined(
        at=1.0, name=name, version="v1", digest="digest", definition=document, agent_id="ann"
    )
    said = [_keyless(each) for brought in rest for each in (brought, *_said_beside(brought))]
    return workflow_id, (msgspec.structs.replace(created, **names), *said), template


def _said_beside(event: ev.AnyEvent) -> tuple[ev.AnyEvent, ...]:
    """What no play says by itself: an agent is told something, a breaker changes. Behind each first attempt of `s1`."""
    if not isinstance(event, ev.StepStarted) or (event.step_id, event.attempt) != ("s1", 1):
        return ()
    at, step_id = event.at, event.step_id
    breaker: dict[str, Any] = {"at": at, "step_id": step_id, "action": "http.get", "target": "h:80"}
    return (
        ev.WorkflowNotified(at=at, step_id=step_id, agent_id="ann", message="look", data=[1]),
        ev.WorkflowEmitted(at=at, step_id=step_id, event_type="seen", payload={"\ud800": 1 << 70}),
        ev.CircuitBreakerOpen(**breaker, consecutive_failures=5, cooldown_s=30.0),
        ev.CircuitBreakerHalfOpen(**breaker),
        ev.CircuitBreakerClosed(**breaker),
    )


def _keyless(event: ev.AnyEvent) -> ev.AnyEvent:
    """Keys are the player's own; two workflows cannot share one."""
    if isinstance(event, ev.SignalReceived):
        return msgspec.structs.replace(event, key=None)
    return event


def _others(journal: Journal) -> None:
    """The streams that are no workflow's."""
    removed = ev.TemplateRemoved(at=3.0, name="old", versions=["v1"], agent_id="ann")
    defined = ev.TemplateDefined(
        at=2.0,
        name="old",
        version="v1",
        digest="d",
        definition={"steps": []},
        agent_id="ann",
        description="What is removed stays readable.",
        triggers={"manual": {}},
    )
    noted = (
        ev.ClockJumped(at=4.0, by_s=-3600.0),
        ev.JournalChecked(at=5.0, reason="its witness was missing"),
        ev.WorkflowsPruned(at=6.0, workflows=2, events=20),
    )
    seen = ev.AgentSeen(at=7.0, agent_id="ann", agent_type="human")
    journal.append(
        [
            Append(template_stream("old"), 0, (defined, removed)),
            Append(JOURNAL_STREAM, 0, noted),
            Append(agent_stream("ann"), 0, (seen,)),
        ]
    )


def main() -> None:
    """Write the two files of this release."""
    release, views = metadata.version("opcode-runtime"), {}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / "journal"
        with Journal.open(directory) as journal:
            _others(journal)
            for seed, document, player in chosen():
                workflow_id, events, template = streams_of(seed, document, player)
                views[workflow_id] = view_of(fold(document, events))
                journal.append(
                    [
                        Append(template_stream(template.name), 0, (template,)),
                        Append(workflow_id, 0, events),
                    ]
                )
        export(directory, FOLDER / f"{release}.jsonl")
    text = msgspec.json.format(msgspec.json.encode(views), indent=1)
    (FOLDER / f"{release}.views.json").write_bytes(text + b"\n")


def fold(document: dict[str, Any], events: Iterable[ev.AnyEvent]) -> WorkflowState:
    """The state after `events` of a workflow with this definition."""
    plan, state = plan_of(document), WorkflowState()
    for event in events:
        evolve(plan, state, event)
    return state


if __name__ == "__main__":
    main()
