"""Mistakes, and that each is named where it is made."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest
import trio

from actors import (
    ActorDeadError,
    ActorError,
    AlreadyReplied,
    AskedSelf,
    BlockingCallInLoop,
    TrioActor,
    TrioFuture,
    open_actor_system,
)


class Clumsy(TrioActor[str, Any]):
    """Makes the mistake it is told to make."""

    async def on_receive(self, message: str) -> Any:
        match message:
            case "ask myself":
                return await self.actor_ref.aask("me")
            case "ask myself and block":
                return self.actor_ref.ask("me")
            case "start a function":
                self.start_soon(print)  # type: ignore[arg-type]
        return message


async def test_asking_oneself_is_refused_before_anything_is_sent() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Clumsy, name="c")
        with pytest.raises(
            AskedSelf, match=r"'c' called aask\(\) on itself .*: call its own method"
        ):
            await ref.aask("ask myself")
        assert ref.statistics().mailbox.accepted == 1


async def test_asking_with_the_blocking_form_inside_the_loop_names_the_awaiting_one() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Clumsy, name="c")
        with pytest.raises(BlockingCallInLoop, match=r"use `await ref\.aask\(\.\.\.\)`"):
            ref.ask("hello")
        with pytest.raises(BlockingCallInLoop):
            await ref.aask("ask myself and block")


@pytest.mark.parametrize("call", ["tell", "atell", "aask", "ask"])
async def test_sending_to_a_dead_ref_says_where_to_find_its_successor(call: str) -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Clumsy, name="c", restart="temporary")
        await ref.astop()
        with pytest.raises(ActorDeadError, match=r"'c' has stopped .*ask its supervisor"):
            match call:
                case "tell":
                    ref.tell("x")
                case "ask":
                    await ref.ask("x", block=False)
                case _:
                    await getattr(ref, call)("x")


async def test_replying_twice_is_refused_at_the_second_reply() -> None:
    future: TrioFuture[int] = TrioFuture()
    future.set(1)
    again: Callable[[], None]
    for again in (lambda: future.set(2), lambda: future.set_error(OSError())):
        with pytest.raises(AlreadyReplied, match="has its reply already: an actor replies once"):
            again()
    assert await future == 1
    assert issubclass(AlreadyReplied, queue.Full)
    assert issubclass(AlreadyReplied, ActorError)


def test_a_handler_that_yields_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match=r"on_receive must return once, not yield"):

        class _Streaming(TrioActor[str, Any]):
            async def on_receive(self, message: str) -> Any:
                yield 1
                yield 2


async def test_a_task_that_is_no_async_function_fails_the_actor_by_name() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Clumsy, name="c", restart="temporary")
        ref.tell("start a function")
        with trio.fail_after(5):
            reason = await ref.wait_stopped()
    assert isinstance(reason, TypeError)
    assert "start_soon needs an async function" in str(reason)
