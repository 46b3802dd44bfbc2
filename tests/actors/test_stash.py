"""Messages put off until later."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorDeadError,
    Registry,
    StashFull,
    TrioActor,
    TrioActorRef,
    open_actor_system,
)


class Door(TrioActor[Any, Any]):
    """Closed, it stashes everything; open, it answers."""

    stash_size_max = 3

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False
        self.seen: list[Any] = []

    async def on_receive(self, message: Any) -> Any:
        match message:
            case "open":
                self.is_open = True
                self.unstash_all()
            case "close":
                self.is_open = False
            case "die":
                raise RuntimeError("died")
            case "twice":
                self.stash(message)
                self.stash(message)
            case ("stash and fail", _):
                self.stash(message)
                raise KeyError("after all")
            case _ if self.is_open:
                self.seen.append(message)
                return f"seen {message}"
            case _:
                self.stash(message)
        return None


async def test_stashed_messages_come_before_newer_ones_and_in_order() -> None:
    actor = Door()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="door", restart="temporary")
        for message in (1, 2, 3, "open", 4):
            ref.tell(message)
        await ref.stop(block=False)
    assert actor.seen == [1, 2, 3, 4]


async def test_a_stashed_ask_keeps_its_asker() -> None:
    replies: list[str] = []

    async def ask(ref: TrioActorRef, number: int) -> None:
        replies.append(await ref.aask(number, timeout_s=5))

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Door, name="door")
        nursery.start_soon(ask, ref, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert ref.statistics().stashed == 1
        assert replies == []
        ref.tell("open")
        await trio.testing.wait_all_tasks_blocked()
        assert replies == ["seen 1"]
        assert ref.statistics().stashed == 0


async def test_stashing_a_message_again_does_not_cost_it_its_place() -> None:
    actor = Door()

    class Wavering(Door):
        async def on_receive(self, message: Any) -> Any:
            if message == "waver":  # unstashes, while it goes on stashing what comes
                self.unstash_all()
                self.stash("x")
                self.unstash_all()
                return None
            return await super().on_receive(message)

    actor = Wavering()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="door", restart="temporary")
        for message in (1, 2, "waver", "open", 3):
            ref.tell(message)
        await ref.stop(block=False)
    assert actor.seen == [1, 2, "x", 3]


async def test_unstashed_messages_do_not_count_against_the_user_lane() -> None:
    actor = Door()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="door", restart="temporary")
        for message in (1, 2):
            await ref.atell(message)
        await trio.testing.wait_all_tasks_blocked()
        actor.unstash_all()
        mailbox = ref.statistics().mailbox
        assert (mailbox.returned_queued, mailbox.user_queued) == (2, 0)
        await (
            trio.testing.wait_all_tasks_blocked()
        )  # the idle actor was woken, and stashed them again
        assert ref.statistics().stashed == 2


async def test_a_full_stash_refuses_at_the_actor() -> None:
    actor = Door()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="door", restart="temporary")
        for number in range(3):
            ref.tell(number)
        with pytest.raises(StashFull, match="'door' holds its 3 messages"):
            await ref.aask("one too many")
        assert actor._stash is not None
        counts = actor._stash.statistics()
        assert (counts.size_max, counts.stashed, counts.refused) == (3, 3, 1)


async def test_stashing_one_message_twice_is_an_error_that_goes_to_its_asker() -> None:
    async with open_actor_system() as system:
        ref = await system.spawn(Door, name="door")
        with pytest.raises(RuntimeError, match="'door' stashed a message twice"):
            await ref.aask("twice")
        assert ref.statistics().stashed == 0


async def test_a_message_that_fails_after_it_was_stashed_is_not_handled_again() -> None:
    actor = Door()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="door", restart="temporary")
        with pytest.raises(KeyError, match="after all"):
            await ref.aask(("stash and fail", 1))
        assert ref.statistics().stashed == 0
        ref.tell(("stash and fail", 2))
        assert isinstance(await ref.wait_stopped(), KeyError)


async def test_a_cancelled_ask_that_was_stashed_by_its_handler_is_answered_once(
    autojump_clock: MockClock,
) -> None:
    class Hanging(TrioActor[Any, Any]):
        async def on_receive(self, message: Any) -> Any:
            self.stash(message)
            await trio.sleep_forever()

    async def ask(ref: TrioActorRef) -> None:
        with pytest.raises(ActorDeadError):
            await ref.aask("x")

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Hanging, name="h", shutdown_s=1)
        nursery.start_soon(ask, ref)
        await trio.testing.wait_all_tasks_blocked()
        await system.stop_child("h")


@pytest.mark.parametrize("ending", ["die", "stop", "astop"])
async def test_stashed_asks_are_answered_when_the_actor_ends(ending: str) -> None:
    async def ask(ref: TrioActorRef) -> None:
        with pytest.raises(ActorDeadError):
            await ref.aask("x")

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Door, name="door", restart="temporary")
        nursery.start_soon(ask, ref)
        await trio.testing.wait_all_tasks_blocked()
        if ending == "die":
            ref.tell("die")
        elif ending == "stop":
            ref.stop(block=False)
        else:
            await ref.astop()


async def test_stashed_messages_go_to_the_successor(autojump_clock: MockClock) -> None:
    doors: list[Door] = []

    def door() -> Door:
        doors.append(Door())
        doors[-1].is_open = len(doors) > 1
        return doors[-1]

    replies: list[str] = []

    async def ask(registry: Registry[str]) -> None:
        replies.append(await registry.ask("k", door, "asked"))

    async with open_actor_system() as system, trio.open_nursery() as nursery:
        registry: Registry[str] = Registry(system)
        await registry.tell("k", door, "told")
        nursery.start_soon(ask, registry)
        await trio.testing.wait_all_tasks_blocked()
        assert len(doors[0]._stash or ()) == 2
        await registry.passivate("k")
        await trio.sleep(1)
    assert sorted(doors[1].seen) == ["asked", "told"]
    assert replies == ["seen asked"]


async def test_messages_of_others_can_be_stashed_before_the_actor_has_any() -> None:
    class Prepared(Door):
        async def on_start(self) -> None:
            self.unstash_all()  # nothing there yet
            self.stash("first")
            self.is_open = True
            self.unstash_all()

    actor = Prepared()
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: actor, name="door", restart="temporary")
        ref.tell("second")
        await ref.stop(block=False)
    assert actor.seen == ["first", "second"]


async def test_a_stash_without_room_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="stash_size_max must be at least 1"):

        class _NoRoom(TrioActor):
            stash_size_max = 0
