"""An onlooker of a whole system."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorStartError,
    BackOff,
    Intensity,
    SupervisorPolicy,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)


class Notes:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def started(self, ref: TrioActorRef) -> None:
        self.heard.append(("started", ref.name))

    def stopped(self, ref: TrioActorRef, reason: BaseException | None) -> None:
        self.heard.append(("stopped", ref.name, repr(reason)))

    def restarted(self, name: str, restarts: int) -> None:
        self.heard.append(("restarted", name, restarts))

    def handled(self, ref: TrioActorRef, message: Any, took_s: float) -> None:
        self.heard.append(("handled", ref.name, message, round(took_s, 3)))


class Sleeper(TrioActor[Any, Any]):
    async def on_receive(self, message: Any) -> Any:
        match message:
            case float():
                await trio.sleep(message)
            case "ring":
                self.timers.start("t", 1, "rung")
            case "stash":
                self.stash(message)
            case "die":
                raise RuntimeError("died")


async def test_it_hears_of_starts_messages_and_stops(autojump_clock: MockClock) -> None:
    notes = Notes()
    async with open_actor_system(observer=notes) as system:
        ref = await system.spawn(Sleeper, name="a", restart="temporary")
        await ref.aask(2.0)
        ref.tell("ring")
        ref.tell("stash")  # put off is not handled
        await trio.sleep(2)
    assert notes.heard == [
        ("started", "system"),
        ("started", "a"),
        ("handled", "a", 2.0, 2.0),
        ("handled", "a", "ring", 0),
        ("handled", "a", "rung", 0),
        ("stopped", "a", "None"),
        ("stopped", "system", "None"),
    ]


async def test_it_hears_of_failures_and_restarts_in_nested_supervisors(
    autojump_clock: MockClock,
) -> None:
    notes = Notes()
    async with open_actor_system(observer=notes) as system:
        supervisor = await system.supervisor("inner")
        await supervisor.spawn(Sleeper, name="a")
        for _ in range(2):
            ref = await supervisor.wait_child("a")
            assert ref is not None
            ref.tell("die")
            await trio.sleep(1)
    about = [entry for entry in notes.heard if entry[1] == "a"]
    died = [
        ("handled", "a", "die", 0),
        ("stopped", "a", "RuntimeError('died')"),
    ]
    assert about == [
        ("started", "a"),
        *died,
        ("restarted", "a", 1),
        ("started", "a"),
        *died,
        ("restarted", "a", 2),
        ("started", "a"),
        ("stopped", "a", "None"),
    ]
    assert ("started", "inner") in notes.heard


async def test_it_hears_of_the_end_of_one_that_never_started() -> None:
    class Broken(TrioActor[Any, Any]):
        async def on_start(self) -> None:
            raise OSError("no")

    notes = Notes()
    async with open_actor_system(observer=notes) as system:
        with pytest.raises(ActorStartError):
            await system.spawn(Broken, name="b")
    assert ("stopped", "b", "OSError('no')") in notes.heard
    assert ("started", "b") not in notes.heard


@pytest.mark.parametrize("broken", ["started", "stopped", "restarted", "handled"])
async def test_one_that_raises_is_dropped_and_harms_nobody(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    notes = Notes()

    def bug(*_: Any) -> None:
        notes.heard.append(("bug",))
        raise OSError("bug")

    setattr(notes, broken, bug)
    policy = SupervisorPolicy(intensity=Intensity(9, 1), back_off=BackOff(initial_s=0))
    async with open_actor_system(observer=notes, policy=policy) as system:
        await system.spawn(Sleeper, name="a")
        for _ in range(3):
            ref = await system.wait_child("a")
            assert ref is not None
            ref.tell("die")
            await trio.sleep(1)
        assert system.child("a") is not None
        assert system.observation is not None
        statistics = system.observation.statistics()
    assert notes.heard.count(("bug",)) == 1
    assert notes.heard[-1] == ("bug",)  # and it heard nothing afterwards
    assert statistics.dropped or broken == "stopped"
    assert "an observer raised and hears nothing more" in caplog.text
