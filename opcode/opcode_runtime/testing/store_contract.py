"""What every store has to do, as a class of tests: `storage.port.Store` says it in words.

For whoever writes a store: derive from `StoreContract`, say how one is made and how it is opened again, and let pytest
collect the class. The three hooks below it bring about what only the inside of a store can; a test whose hook is left
as it is, is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.storage import (
    Append,
    Appended,
    AppendRejected,
    EventUnstorable,
    JournalError,
    JournalLocked,
    JournalUnknown,
    Message,
)
from opcode_runtime.storage.port import Store

AWKWARD: tuple[Any, ...] = (2**80, (1, (2,)), "\ud800", {"a": None}, [], -0.0, "x" * 600_000)
"""Values that have to come back equal."""


def step(name: str, output: Any = None) -> ev.AnyEvent:
    """An event."""
    return ev.StepCompleted(at=2.0, step_id=name, attempt=1, output=output)


def asleep(name: str, wake_at: float | None) -> Append:
    """The beginning of a workflow that wakes up at a moment."""
    created = ev.WorkflowCreated(
        at=1.0,
        workflow_id=name,
        name=name,
        template_name="t",
        template_version="v1",
        definition_digest="d",
        inputs={},
        agent_id="ann",
    )
    return Append(
        name, 0, (created, ev.WorkflowSuspended(at=2.0, reason="timeout", wake_at=wake_at))
    )


def steps(store: Store, stream: str) -> list[str]:
    """The steps of a stream's events, in order."""
    return [getattr(record.event, "step_id", "?") for record in store.read(stream)]


def ids(store: Store, to: str) -> list[str]:
    """The ids in an inbox, in order."""
    return [message.id for message in store.inbox(to)]


class StoreContract:
    """Tests that every store passes."""

    def make_store(self, tmp_path: Path) -> Store:
        """An empty store that nobody has claimed."""
        raise NotImplementedError

    def reopen(self, store: Store) -> Store:
        """The process that had the store is gone without a word: the same store, unclaimed, as it is found then."""
        raise NotImplementedError

    def rival(self, store: Store) -> Store | None:  # noqa: ARG002 - for those who override it
        """The same store once more, for a process beside the one that has it."""
        return None

    def overtake(self, store: Store) -> bool:  # noqa: ARG002 - for those who override it
        """Let somebody else claim the store although this one's claim stands; False when that cannot be done."""
        return False

    def doubt(self, store: Store) -> bool:  # noqa: ARG002 - for those who override it
        """See to it that the next commit has no known result; False when that cannot be done."""
        return False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Any:
        """A claimed store."""
        store = self.make_store(tmp_path)
        store.claim()
        yield store
        store.release()

    def _claimed(self, store: Store) -> Store:
        store.claim()
        return store

    def test_events_come_back_in_order_without_a_gap(self, store: Store) -> None:
        """I-J1."""
        for n in range(5):
            assert store.append([Append("w", 2 * n, (step(f"a{n}"), step(f"b{n}")))])
        records = store.read("w")
        assert [record.seq for record in records] == list(range(1, 11))
        assert [record.stream for record in records] == ["w"] * 10
        assert steps(store, "w") == [f"{x}{n}" for n in range(5) for x in "ab"]

    def test_a_stream_is_read_from_any_place_on(self, store: Store) -> None:
        """`after_seq` and `limit`; nothing behind the end, nothing of an unknown stream."""
        store.append([Append("w", 0, tuple(step(str(n)) for n in range(6)))])
        assert [record.seq for record in store.read("w", 4)] == [5, 6]
        assert [record.seq for record in store.read("w", 1, 2)] == [2, 3]
        assert store.read("w", 6) == store.read("w", 60) == store.read("nobody") == []

    def test_streams_do_not_run_into_each_other(self, store: Store) -> None:
        """Names that begin alike, long ones, an empty one."""
        names = ("w", "w1", "w\0", "w" * 300, "w" * 301, "ü", "")
        store.append([Append(name, 0, (step(name),)) for name in names])
        assert [steps(store, name) for name in names] == [[name] for name in names]

    @pytest.mark.parametrize("value", AWKWARD, ids=range(len(AWKWARD)))
    def test_what_was_appended_comes_back_equal(self, store: Store, value: Any) -> None:
        """I-J8."""
        store.append([Append("w", 0, (step("a", {"v": value}),))])
        (record,) = store.read("w")
        assert repr(record.event) == repr(step("a", {"v": value}))

    def test_what_has_returned_is_there_after_a_crash(self, store: Store) -> None:
        """I-J2, I-J4."""
        store.append([Append("w", 0, (step("a"), step("b")))])
        before = store.read("w")
        again = self._claimed(self.reopen(store))
        assert again.read("w") == before
        again.append([Append("w", 2, (step("c"),))])
        last = self._claimed(self.reopen(again))
        assert last.read("w")[:2] == before
        assert steps(last, "w") == ["a", "b", "c"]
        last.release()

    def test_the_last_seq_is_known_for_ever(self, store: Store) -> None:
        """A crash does not make a stream shorter."""
        store.append([Append("w", 0, (step("a"), step("b")))])
        again = self._claimed(self.reopen(store))
        assert again.append([Append("w", 0, (step("x"),))]) == [AppendRejected("w", 0, 2)]
        (appended,) = again.append([Append("w", 2, (step("c"),))])
        assert isinstance(appended, Appended)
        assert (appended.first_seq, appended.last_seq) == (3, 3)
        again.release()

    @pytest.mark.parametrize("seq", [0, 1, 3, 99])
    def test_an_append_that_expects_another_seq_leaves_nothing_and_the_others_stand(
        self, store: Store, seq: int
    ) -> None:
        """I-J5, I-J10."""
        store.append([Append("w", 0, (step("a"), step("b")))])
        before = store.read("w")
        late = Append("w", seq, (step("x"),), (Message("m", "1", {}),))
        answers = store.append([late, Append("v", 0, (step("a"),)), late])
        assert answers[::2] == [AppendRejected("w", seq, 2)] * 2
        assert store.read("w") == before
        assert store.inbox("m") == []
        assert steps(store, "v") == ["a"]

    def test_appends_of_a_batch_build_on_each_other(self, store: Store) -> None:
        """The second expects the last seq of the first."""
        batch = [Append("w", n, (step(str(n)),)) for n in (0, 1, 1, 2)]
        answers = store.append(batch)
        assert [isinstance(answer, Appended) for answer in answers] == [True, True, False, True]
        assert steps(store, "w") == ["0", "1", "2"]

    def test_a_batch_is_written_altogether_or_not_at_all(self, store: Store) -> None:
        """I-J3."""
        store.append([Append("w", 0, (step("a"),))])
        sent = (Message("m", "1", {}),)
        spoilt = [Append("w", 1, (step("b"),), sent), Append("v", 0, (step("x", object()),))]
        with pytest.raises(EventUnstorable) as caught:
            store.append(spoilt)
        assert caught.value.stream == "v"
        assert steps(store, "w") == ["a"]
        assert store.read("v") == []
        assert store.inbox("m") == []
        assert store.append(spoilt[:1])

    def test_epochs_grow_and_never_go_back(self, store: Store) -> None:
        """I-J7."""
        epochs = [store.claim()]
        for n in range(3):
            store.append([Append("w", n, (step(str(n)),))])
            store = self.reopen(store)
            epochs.append(store.claim())
        assert epochs == sorted(set(epochs))
        assert [record.epoch for record in store.read("w")] == epochs[:3]
        store.release()

    def test_whoever_holds_the_store_keeps_others_out(self, store: Store) -> None:
        """Until the claim is released."""
        rival = self.rival(store)
        if rival is None:
            pytest.skip("no rival for this store")
        with pytest.raises(JournalLocked):
            rival.claim()
        store.renew()
        store.append([Append("w", 0, (step("a"),))])
        store.release()
        rival.claim()
        assert steps(rival, "w") == ["a"]
        rival.release()

    def test_whoever_holds_the_store_can_renew(self, store: Store) -> None:
        """As often as it likes, between appends."""
        for n in range(3):
            store.renew()
            assert store.append([Append("w", n, (step("a"),))])

    def test_a_store_that_is_not_claimed_takes_nothing(self, store: Store) -> None:
        """After a release, of which a second one is harmless."""
        store.append([Append("w", 0, (step("a"),))])
        store.release()
        store.release()
        for act in (store.renew, lambda: store.append([Append("w", 1, (step("b"),))])):
            with pytest.raises(JournalError):
                act()

    def test_a_writer_whose_epoch_is_over_cannot_write(self, store: Store) -> None:
        """I-J7."""
        store.append([Append("w", 0, (step("a"),))])
        store.send([Message("m", "1", {})])
        if not self.overtake(store):
            pytest.skip("nobody can overtake this store")
        attempts: Sequence[Any] = (
            lambda: store.append([Append("w", 1, (step("b"),))]),
            lambda: store.send([Message("m", "2", {})]),
            lambda: store.finish("m", ["1"]),
            store.renew,
            lambda: store.append([Append("w", 1, (step("b"),))]),
        )
        for attempt in attempts:
            with pytest.raises(JournalLocked):
                attempt()
        assert (steps(store, "w"), ids(store, "m")) == (["a"], ["1"])

    def test_a_writer_that_only_renews_notices_that_its_epoch_is_over(self, store: Store) -> None:
        """So that one that has nothing to write stops acting."""
        if not self.overtake(store):
            pytest.skip("nobody can overtake this store")
        with pytest.raises(JournalLocked):
            store.renew()

    def test_after_an_unknown_result_nothing_is_acknowledged(self, store: Store) -> None:
        """I-J3, I-J9."""
        store.append([Append("w", 0, (step("a"),))])
        if not self.doubt(store):
            pytest.skip("this store never doubts")
        with pytest.raises(JournalUnknown):
            store.append([Append("w", 1, (step("b"),)), Append("v", 0, (step("b"),))])
        for seq in (1, 2):
            with pytest.raises(JournalUnknown):
                store.append([Append("w", seq, (step("c"),))])
        again = self._claimed(self.reopen(store))
        found = (steps(again, "w"), steps(again, "v"))
        assert found in ((["a"], []), (["a", "b"], ["b"]))
        assert again.append([Append("u", 0, (step("a"),))])
        again.release()

    def test_messages_come_in_order_until_they_are_finished(self, store: Store) -> None:
        """At least once, whatever crashes in between."""
        store.append([Append("w", 0, (step("a"),), (Message("m", "1", {"n": 1}),))])
        store.send([Message("m", "2", {}), Message("n", "1", {}), Message("m", "3", {})])
        again = self._claimed(self.reopen(store))
        assert ids(again, "m") == ["1", "2", "3"]
        assert ids(again, "n") == ["1"]
        assert [message.id for message in again.inbox("m", 2)] == ["1", "2"]
        assert again.inbox("m")[0].body == {"n": 1}
        again.finish("m", ["2", "9"])
        last = self._claimed(self.reopen(again))
        assert ids(last, "m") == ["1", "3"]
        last.finish("m", ["2", "3", "1"])
        assert last.inbox("m") == []
        last.release()

    def test_an_id_is_in_an_inbox_once(self, store: Store) -> None:
        """Sending again is harmless; after it is finished the id is free."""
        store.send([Message("m", "1", {"n": 1})])
        store.send([Message("m", "1", {"n": 2}), Message("m", "2", {})])
        store.append([Append("w", 0, (step("a"),), (Message("m", "2", {"n": 3}),))])
        assert [(m.id, m.body) for m in store.inbox("m")] == [("1", {"n": 1}), ("2", {})]
        store.finish("m", ["1"])
        store.send([Message("m", "1", {"n": 4})])
        assert [(m.id, m.body) for m in store.inbox("m")] == [("2", {}), ("1", {"n": 4})]

    def test_what_is_taken_is_nobody_elses_until_its_time_is_over(self, store: Store) -> None:
        """Also after a crash; the taker itself may extend."""
        store.send([Message("m", "1", {}), Message("m", "2", {})])
        assert store.take("m", ["1"], until=60.0, now=10.0, by="ann")
        assert not store.take("m", ["2", "1"], until=90.0, now=59.0, by="bob")
        assert not store.take("m", ["1"], until=90.0, now=59.0)
        again = self._claimed(self.reopen(store))
        assert [m.taken_until for m in again.inbox("m")] == [60.0, None]
        assert not again.take("m", ["1"], until=90.0, now=59.0, by="bob")
        assert again.take("m", ["1"], until=80.0, now=59.0, by="ann")
        assert not again.take("m", ["1"], until=99.0, now=79.0, by="bob")
        assert again.take("m", ["1", "2"], until=99.0, now=80.0, by="bob")
        again.release()

    def test_what_is_not_there_cannot_be_taken(self, store: Store) -> None:
        """Then nothing is taken of what is there."""
        store.send([Message("m", "1", {})])
        assert not store.take("m", ["1", "2"], until=60.0, now=1.0)
        assert not store.take("n", ["1"], until=60.0, now=1.0)
        assert store.inbox("m")[0].taken_until is None
        store.finish("m", ["1"])
        assert not store.take("m", ["1"], until=60.0, now=1.0)

    def test_wakeups_come_in_the_order_in_which_they_fall_due(self, store: Store) -> None:
        """In pages; a workflow that goes on is no longer among them."""
        moments = {"c": 5.0, "a": 9.0, "b": 5.0, "never": None, "d": 1.5}
        store.append([asleep(name, wake_at) for name, wake_at in moments.items()])
        everyone = [(1.5, "d"), (5.0, "b"), (5.0, "c"), (9.0, "a")]
        assert store.wakeups(None, 10) == everyone
        assert store.wakeups(9.0, 10) == everyone[:3]
        assert store.wakeups(None, 2, after=(5.0, "b")) == everyone[2:]
        resumed = ev.WorkflowResumed(at=3.0, reason="timeout")
        store.append([Append("b", 2, (resumed,)), Append("never", 2, (resumed,))])
        again = self._claimed(self.reopen(store))
        assert again.wakeups(None, 10) == [everyone[0], *everyone[2:]]
        again.release()
