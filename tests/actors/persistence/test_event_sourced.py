"""Event-sourced actors: from a command to its reply, and what a journal can do to that."""

from __future__ import annotations

import threading

import pytest
import trio
from trio.testing import MockClock

from actors import ActorDeadError, Registry, open_actor_system
from actors.persistence import (
    EventSourcedActor,
    EventUnstorable,
    FaultPlan,
    InMemoryJournal,
    JournalConflict,
    JournalRejected,
    JournalUnknown,
    Rejected,
)

from .accounts import Account, Add, Added, maker


async def test_a_command_is_on_disk_before_its_reply(autojump_clock: MockClock) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal(FaultPlan(pause_s=lambda: 2.0))
    async with open_actor_system() as system:
        ref = await system.spawn(maker(journal), name="a")
        began = trio.current_time()
        assert await ref.aask(Add(5, parts=2)) == ("added", 5)
        assert trio.current_time() - began == 4
        assert journal.events("a") == [Added(5), Added(5)]


async def test_a_restarted_system_goes_on_where_the_journal_ends(autojump_clock: MockClock) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal()
    for life in range(3):
        make = maker(journal)
        async with open_actor_system() as system:
            ref = await system.spawn(make, name="a")
            assert await ref.aask("balance") == (life, life)
            await ref.aask(Add(1))
        assert make.made[0].committed == [(life, life), (life + 1, life + 1)]
    assert journal.statistics().events == 3


async def test_a_refusal_is_the_reply_and_leaves_nothing(autojump_clock: MockClock) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal()
    make = maker(journal)
    async with open_actor_system() as system:
        ref = await system.spawn(make, name="a")
        assert await ref.aask(Add(-1)) == Rejected("not enough")
    assert journal.streams() == []
    assert make.made[0].committed == [(0, 0)]


async def test_what_decide_raises_is_the_askers_and_the_actor_goes_on(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal()
    async with open_actor_system() as system:
        ref = await system.spawn(maker(journal), name="a")
        with pytest.raises(ValueError, match="no such command"):
            await ref.aask("nonsense")
        assert ref.is_alive()


async def test_after_a_rejected_append_the_actor_goes_on_from_memory(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal(FaultPlan({2: "reject"}))
    make = maker(journal)
    async with open_actor_system() as system:
        ref = await system.spawn(make, name="a")
        await ref.aask(Add(1))
        with pytest.raises(JournalRejected, match="append 2 was rejected"):
            await ref.aask(Add(2))
        assert await ref.aask("balance") == (1, 1)
        await ref.aask(Add(4))
    assert journal.events("a") == [Added(1), Added(4)]
    assert len(make.made) == 1


@pytest.mark.parametrize(("fault", "balance"), [("lose", 1), ("write_unknown", 3)])
async def test_after_an_append_in_doubt_only_the_journal_is_believed(
    fault: str, balance: int, autojump_clock: MockClock
) -> None:
    plan = FaultPlan({2: fault})  # type: ignore[dict-item]
    journal: InMemoryJournal[Added] = InMemoryJournal(plan)
    make = maker(journal)
    async with open_actor_system() as system:
        ref = await system.spawn(make, name="a")
        await ref.aask(Add(1))
        with pytest.raises(JournalUnknown, match="in doubt"):
            await ref.aask(Add(2))
        reason = await ref.wait_stopped()
        assert isinstance(reason, JournalUnknown)
        successor = await system.wait_child("a")
        assert successor is not None
        assert (await successor.aask("balance"))[0] == balance
    assert len(make.made) == 2


async def test_commands_queued_behind_one_in_doubt_are_not_handled_from_memory(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal(FaultPlan({1: "write_unknown"}))
    make = maker(journal)
    ends: list[object] = []
    async with open_actor_system() as system:
        ref = await system.spawn(make, name="a")

        async def ask(amount: int) -> None:
            try:
                ends.append(await ref.aask(Add(amount)))
            except (JournalUnknown, ActorDeadError) as error:
                ends.append(type(error))

        async with trio.open_nursery() as nursery:
            for amount in (1, 2, 3):
                nursery.start_soon(ask, amount)
                await trio.testing.wait_all_tasks_blocked()
    assert sorted(map(str, ends)) == sorted(
        map(str, [JournalUnknown, ActorDeadError, ActorDeadError])
    )
    assert journal.events("a") == [Added(1)]


async def test_through_a_registry_a_command_behind_one_in_doubt_reaches_the_successor(
    autojump_clock: MockClock,
) -> None:
    plan = FaultPlan({1: "write_unknown"}, pause_s=lambda: 1.0)
    journal: InMemoryJournal[Added] = InMemoryJournal(plan)
    make = maker(journal)
    async with open_actor_system() as system:
        registry: Registry[str] = Registry(system)

        async def first() -> None:
            with pytest.raises(JournalUnknown):
                await registry.ask("a", make, Add(1))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await trio.sleep(1.5)
            assert await registry.ask("a", make, Add(2)) == ("added", 2)
    assert journal.events("a") == [Added(1), Added(2)]
    assert len(make.made) == 2


async def test_after_a_conflict_the_successor_knows_what_somebody_else_wrote(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal()
    async with open_actor_system() as system:
        ref = await system.spawn(maker(journal), name="a")
        await journal.append("a", 0, [Added(10)])
        with pytest.raises(JournalConflict, match="at seq 1, not at 0"):
            await ref.aask(Add(1))
        successor = await system.wait_child("a")
        assert successor is not None
        assert await successor.aask("balance") == (10, 1)


async def test_a_told_command_that_cannot_be_written_ends_the_actor(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal(FaultPlan({1: "reject"}))
    async with open_actor_system() as system:
        ref = await system.spawn(maker(journal), name="a", restart="temporary")
        ref.tell(Add(1))
        assert isinstance(await ref.wait_stopped(), JournalRejected)


async def test_an_event_that_cannot_be_stored_names_itself_and_who_emitted_it(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal()
    async with open_actor_system() as system:
        ref = await system.spawn(maker(journal), name="a")
        await ref.aask(Add(1))
        with pytest.raises(EventUnstorable) as failed:
            await ref.aask(Add(threading.Lock()))
        assert "Added cannot be stored in stream 'a': cannot pickle" in str(failed.value)
        assert failed.value.__notes__[0].startswith("emitted by Account.decide for the command Add")
        assert await ref.aask("balance") == (1, 1)


async def test_an_effect_that_cannot_be_started_ends_the_actor_and_not_the_fact(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal()
    make = maker(journal)
    async with open_actor_system() as system:
        ref = await system.spawn(make, name="a")
        make.made[0].fail_at = 2
        with pytest.raises(RuntimeError, match="cannot be started"):
            await ref.aask(Add(1))
        assert isinstance(await ref.wait_stopped(), RuntimeError)
        successor = await system.wait_child("a")
        assert successor is not None
        assert await successor.aask("balance") == (1, 1)
    assert make.made[1].committed == [(1, 1)]


class Impatient(EventSourcedActor[tuple[int, int], Add | str, Added]):
    """Gives up a command after a second, which it should not."""

    async def on_receive(self, message: Add | str) -> object:
        with trio.move_on_after(1):
            return await super().on_receive(message)
        return "gave up"


async def test_a_handler_that_gives_up_an_append_handles_nothing_more(
    autojump_clock: MockClock,
) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal(FaultPlan(pause_s=lambda: 0.6))
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: Impatient("a", Account(), journal), name="a")
        assert await ref.aask(Add(1)) == "gave up"
        with pytest.raises(JournalUnknown, match="in doubt after seq 0"):
            await ref.aask("balance")
        successor = await system.wait_child("a")
        assert successor is not None
        assert await successor.aask("balance") == (1, 1)


async def test_a_stop_in_the_middle_of_an_append_is_no_failure(autojump_clock: MockClock) -> None:
    journal: InMemoryJournal[Added] = InMemoryJournal(FaultPlan(pause_s=lambda: 60.0))
    async with open_actor_system() as system:
        ref = await system.spawn(maker(journal), name="a", shutdown_s=1)
        await trio.sleep(60)
        ref.tell(Add(1))
        await trio.sleep(61)
        await system.stop_child("a")
        assert system.statistics().restarts == 0
    assert journal.events("a") == [Added(1)]
