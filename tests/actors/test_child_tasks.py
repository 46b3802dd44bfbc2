"""Child tasks: they live at most as long as their actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from actors import (
    ActorDeadError,
    Mailbox,
    open_actor_system,
)
from actors._tasks import ActorTasks
from tests.actors.workers import Noted, fail


def task_until_cancelled(notes: list[str]) -> Callable[[], Awaitable[None]]:
    async def task() -> None:
        try:
            await trio.sleep_forever()
        finally:
            notes.append("task over")

    return task


async def test_child_tasks_are_over_before_the_actor_counts_as_stopped() -> None:
    notes: list[str] = []

    async def start_task(actor: Noted) -> None:
        actor.start_soon(task_until_cancelled(notes))
        actor.start_soon(task_until_cancelled(notes), name="second")

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        await ref.aask(start_task)
        await trio.testing.wait_all_tasks_blocked()
        await ref.aask(start_task)
        await trio.testing.wait_all_tasks_blocked()
        ref.monitor(lambda ref, reason: notes.append(f"down {reason}"))
        await ref.astop()
    assert notes == ["start", *["task over"] * 4, "stop", "down None"]


async def test_child_tasks_are_over_before_on_failure() -> None:
    notes: list[str] = []

    async def start_task(actor: Noted) -> None:
        actor.start_soon(task_until_cancelled(notes))
        await trio.testing.wait_all_tasks_blocked()

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        await ref.aask(start_task)
        ref.tell(fail)
        await ref.wait_stopped()
    assert notes == ["start", "task over", "failure bad message"]


async def test_a_task_started_by_the_last_message_never_begins() -> None:
    notes: list[str] = []

    async def start_and_stop(actor: Noted) -> None:
        actor.start_soon(task_until_cancelled(notes))
        actor.actor_ref.request_stop()

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        ref.tell(start_and_stop)
        assert await ref.wait_stopped() is None
    assert notes == ["start", "stop"]


async def test_an_exception_in_a_child_task_fails_the_actor_even_inside_a_handler() -> None:
    notes: list[str] = []

    async def broken() -> None:
        raise OSError("task broke")

    async def start_broken(actor: Noted) -> None:
        actor.start_soon(task_until_cancelled(notes))
        actor.start_soon(broken)
        await trio.sleep_forever()

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        with pytest.raises(ActorDeadError):
            await ref.aask(start_broken)
        reason = await ref.wait_stopped()
        assert isinstance(reason, OSError)
    assert notes == ["start", "task over", "failure task broke"]


async def test_tasks_cannot_be_started_before_or_after_the_actor_runs() -> None:
    errors: list[str] = []

    class Late(Noted):
        async def on_stop(self) -> None:
            with pytest.raises(RuntimeError, match="not running"):
                self.start_soon(trio.sleep, 1)
            errors.append("late")

    with pytest.raises(RuntimeError, match="start tasks in on_start"):
        Late([]).start_soon(trio.sleep, 1)
    async with open_actor_system() as system:
        await system.spawn(lambda: Late([]), name="n")
    assert errors == ["late"]


async def test_a_task_that_fails_while_it_is_cancelled_does_not_hide_the_first_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("task broke too")

    async def fail_with_task(actor: Noted) -> None:
        actor.start_soon(stubborn)
        await trio.testing.wait_all_tasks_blocked()
        raise ValueError("first")

    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted([]), name="n", restart="temporary")
        ref.tell(fail_with_task)
        assert isinstance(await ref.wait_stopped(), ValueError)
    assert "failed too" in caplog.text


async def test_a_task_that_fails_while_the_actor_stops_is_its_exit_reason() -> None:
    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("task broke")

    async def start(actor: Noted) -> None:
        actor.start_soon(stubborn)
        await trio.testing.wait_all_tasks_blocked()

    notes: list[str] = []
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Noted(notes), name="n", restart="temporary")
        await ref.aask(start)
        assert isinstance(await ref.astop(), OSError)
    assert notes[-1] == "failure task broke"


async def test_a_task_that_is_started_while_others_end_for_a_failure_never_begins() -> None:
    """By whom it was started is not to blame: the nursery is closed for a moment before its actor knows."""
    for wait_ticks in [*range(1, 5)] * 10:
        failures: list[Exception] = []
        async with trio.open_nursery() as host:
            tasks = ActorTasks(host, failures.append, Mailbox(1))

            async def fail_soon() -> None:
                await trio.lowlevel.checkpoint()
                raise OSError("task broke")

            tasks.start_soon(fail_soon)
            for _ in range(wait_ticks):
                await trio.lowlevel.checkpoint()
            tasks.start_soon(trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
        assert [str(error) for error in failures] == ["task broke"]
