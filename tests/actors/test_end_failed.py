"""An actor that declares itself failed."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from actors import ActorStartError, TrioActor, open_actor_system


class Honest(TrioActor[str, str]):
    """Fails when it is told to, wherever it is told to."""

    def __init__(self, where: str = "", notes: list[str] | None = None) -> None:
        super().__init__()
        self.where = where
        self.notes = [] if notes is None else notes

    async def on_start(self) -> None:
        if self.where == "start":
            self.end_failed(OSError("start"))

    async def on_stop(self) -> None:
        self.notes.append("stop")
        if self.where == "stop":
            self.end_failed(OSError("stop"))

    async def on_failure(self, *error: Any) -> None:
        self.notes.append(f"failure {error[1]}")

    async def on_receive(self, message: str) -> str:
        if message == "fail":
            self.end_failed(OSError("first"))
            self.end_failed(OSError("second"))
        elif message == "fail later":
            self.start_soon(self.later)
        else:
            self.notes.append(message)
        return "replied"

    async def later(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        self.end_failed(OSError("later"))
        await trio.sleep_forever()


async def test_the_message_in_hand_is_finished_and_its_asker_gets_the_reply() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Honest(notes=notes), name="h", restart="temporary")
        future = ref.ask("fail", block=False)
        ref.tell("not handled")
        assert await future == "replied"
        assert str(await ref.wait_stopped()) == "first"
    assert notes == ["failure first"]


async def test_an_idle_actor_ends_when_a_task_of_its_own_says_so() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Honest(notes=notes), name="h", restart="temporary")
        ref.tell("fail later")
        with trio.fail_after(5):
            assert str(await ref.wait_stopped()) == "later"
    assert notes == ["failure later"]


async def test_failing_in_on_start_is_a_failed_start() -> None:
    async with open_actor_system() as system:
        with pytest.raises(ActorStartError) as caught:
            await system.spawn(lambda: Honest("start"), name="h")
        assert str(caught.value.__cause__) == "start"


async def test_failing_in_on_stop_is_the_exit_reason() -> None:
    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Honest("stop", notes), name="h", restart="temporary")
        assert str(await ref.astop()) == "stop"
    assert notes == ["stop", "failure stop"]


async def test_the_supervisor_restarts_an_actor_that_declared_itself_failed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Honest, name="h", restart="transient")
        ref.tell("fail")
        await trio.sleep(1)
        assert system.statistics().restarts == 1
        assert system.child("h") not in (None, ref)
