"""What has to be true of a process at a moment at which nothing moves (I-R1).

What goes on is compared with what the journal, folded from its beginning, wants to go on: for a workflow in memory its
effects and its state, for any other that there is a reason to leave it on disk, and somebody to wake it.
"""

from __future__ import annotations

from typing import Any

import trio

from drills.simulation.ledger import Followed, Ledger
from opcode_runtime import Runtime
from opcode_runtime.core.wanted import wanted
from opcode_runtime.engine.moments import moment
from opcode_runtime.engine.workflow import WorkflowActor

BACK_OFF_S = 10.0
"""So long after an actor has raised its supervisor may still wait before it starts the next."""


def check_quiet(runtime: Runtime, ledger: Ledger) -> None:
    """Look at every workflow that has not ended."""
    writer = runtime._kit.writer
    if writer.statistics().waiting or writer.poison is not None or not runtime.recovered.is_set():
        return
    if trio.current_time() - ledger.failed_at < BACK_OFF_S:
        return
    for workflow_id, reason in runtime._workflows.quarantined.items():
        ledger.breaks("P9 quarantine", f"{workflow_id}: {reason}")
    for followed in ledger.followed.values():
        if not followed.ended:
            _check(runtime, ledger, followed)


def _check(runtime: Runtime, ledger: Ledger, followed: Followed) -> None:
    ref = runtime._workflows._registry.get(followed.stream)
    actor: Any = None if ref is None else ref._actor()
    if actor is None:
        _check_resting(runtime, ledger, followed)
    elif isinstance(actor, WorkflowActor) and _is_idle(actor, followed):
        _check_living(ledger, followed, actor)


def _is_idle(actor: WorkflowActor, followed: Followed) -> bool:
    """Whether it is between two turns; a turn that waits for room is ahead of the journal."""
    state = actor._state
    return actor.seq == state.seq == followed.state.seq and actor.actor_inbox.empty()


def _check_living(ledger: Ledger, followed: Followed, actor: WorkflowActor) -> None:
    assert actor._effects is not None
    running = set(actor._effects._running)
    wishes = set(wanted(followed.plan, followed.state))
    if running != wishes:
        missing, surplus = wishes - running, running - wishes
        what = f"{followed.label}: missing {missing}, surplus {surplus}"
        ledger.breaks("I-R1 running_equals_wanted", what)
    if actor._state != followed.state:
        ledger.breaks("I-J11 snapshot_is_cache", f"{followed.label}: the state is not the fold")


def _check_resting(runtime: Runtime, ledger: Ledger, followed: Followed) -> None:
    moments = [moment(effect) for effect in wanted(followed.plan, followed.state)]
    if None in moments:
        wishes = wanted(followed.plan, followed.state)
        ledger.breaks("I-R1 running_equals_wanted", f"{followed.label} rests and wants {wishes}")
    elif moments and followed.stream not in runtime._kit.wakeups._at:
        ledger.breaks("I-R4 fire_once", f"nobody wakes {followed.label}, due at {moments}")
