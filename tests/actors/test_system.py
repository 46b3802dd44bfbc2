"""Actor systems: blocks with a beginning and a certain end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pykka
import pytest
import trio

from actors import (
    ActorDeadError,
    Intensity,
    RestartIntensityExceeded,
    SupervisorPolicy,
    TrioActor,
    open_actor_system,
)


class Echo(TrioActor):
    def __init__(self, notes: list[str] | None = None) -> None:
        super().__init__()
        self.notes = [] if notes is None else notes

    async def on_stop(self) -> None:
        await trio.lowlevel.checkpoint()
        self.notes.append(self.actor_ref.name)

    async def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message


async def test_two_systems_in_one_process_do_not_see_each_other() -> None:
    async with open_actor_system("one") as one, open_actor_system("two") as two:
        await one.spawn(Echo, name="a")
        assert two.child("a") is None
        await two.spawn(Echo, name="a")
        await one.shutdown()
        assert await two.child("a").aask("hi") == "hi"  # type: ignore[union-attr]
        assert pykka.ActorRegistry.get_all() == []


async def test_cancelling_the_caller_stops_everything_in_order() -> None:
    notes: list[str] = []
    with trio.CancelScope() as scope:
        async with open_actor_system() as system:
            for name in "abc":
                await system.spawn(lambda: Echo(notes), name=name)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert notes == ["c", "b", "a"]


async def test_a_caller_cancelled_before_it_opens_gets_out_at_once() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_actor_system():
            raise AssertionError("not reached")
    assert scope.cancelled_caught


async def test_an_exception_in_the_block_comes_out_as_it_is_after_the_orderly_stop() -> None:
    notes: list[str] = []

    async def main() -> None:
        async with open_actor_system() as system:
            await system.spawn(lambda: Echo(notes), name="a")
            raise ValueError("mine") from KeyError("cause")

    with pytest.raises(ValueError, match="mine") as caught:
        await main()
    assert isinstance(caught.value.__cause__, KeyError)
    assert notes == ["a"]


async def test_an_actor_that_gets_a_keyboard_interrupt_ends_the_block_with_it() -> None:
    notes: list[str] = []

    async def main() -> None:
        async with open_actor_system() as system:
            await system.spawn(lambda: Echo(notes), name="bystander")
            ref = await system.spawn(Echo, name="victim")
            ref.tell(KeyboardInterrupt())
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        await main()


async def test_after_shutdown_nothing_can_be_started_and_nothing_hangs() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Echo, name="a")
        await system.shutdown()
        await system.shutdown()
        with pytest.raises(ActorDeadError):
            await system.spawn(Echo, name="b")
        assert await ref.wait_stopped() is None
        assert system.child("a") is None


async def test_failures_during_shutdown_restart_nothing() -> None:
    class BadStop(Echo):
        async def on_stop(self) -> None:
            raise OSError("cannot stop")

    async with open_actor_system(policy=SupervisorPolicy(intensity=Intensity(0, 1))) as system:
        refs = [await system.spawn(BadStop, name=name) for name in "ab"]
    for ref in refs:
        assert isinstance(await ref.wait_stopped(), OSError)
    assert system.statistics().restarts == 0


async def test_a_root_that_gives_up_cancels_the_block() -> None:
    reached: list[str] = []

    async def main() -> None:
        async with open_actor_system(policy=SupervisorPolicy(intensity=Intensity(0, 1))) as system:
            (await system.spawn(Echo, name="a")).tell(ValueError("dies"))
            try:
                await trio.sleep_forever()
            finally:
                reached.append("cancelled")

    with pytest.raises(RestartIntensityExceeded):
        await main()
    assert reached == ["cancelled"]


def test_importing_actors_pulls_in_trio_and_pykka_and_nothing_else() -> None:
    program = (
        "import sys, trio, pykka, outcome; before = set(sys.modules); import actors; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=_project_folder(),
        timeout=60,
    )
    extra = set(eval(found.stdout)) - {"actors"} - sys.stdlib_module_names
    assert extra == set(), found.stdout


def _project_folder() -> str:
    from pathlib import Path

    import actors

    return str(Path(actors.__file__).parent.parent)
