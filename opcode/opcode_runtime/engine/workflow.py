"""The workflow actor: one per workflow in memory, the only one who changes its state.

Each message is one turn:
1. decide and evolve until the state is at rest (`core.turn.take`);
2. do in place what may be done in place: guards, parameters, pure steps, the output;
3. put everything that came of it on disk, in one append;
4. compare what is wanted with what is going on;
5. reply.
What an effect of its own reports to an actor that has nothing else to do is not sent: the turn is taken on the spot,
step 4 follows when the commit is there, and a message that comes meanwhile waits for that.
Nothing leaves the actor before step 3 is done. Step 1 changes the state, so whatever raises inside a turn leaves it
ahead of the journal and ends the actor; its successor reads the journal. The exception is a full disk: it holds the
turn, since the state is then only early.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar

import structlog
import trio

from actors import ActorDeadError
from actors.persistence import JournaledActor
from opcode_runtime.core.decide import Answer
from opcode_runtime.core.turn import SHORT_EVENTS, take, unrest
from opcode_runtime.core.wanted import wanted
from opcode_runtime.engine import recovery, snapshots
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.effects import NEVER, Effects
from opcode_runtime.engine.in_place import InPlace
from opcode_runtime.engine.journal_port import Refused
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.room import Level
from opcode_runtime.model import commands as cmd
from opcode_runtime.model import effects as fx
from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import PASSING, ErrorCode, OpcodeError
from opcode_runtime.model.state import ENDED, WorkflowState, WorkflowStatus
from opcode_runtime.storage import Append, Appended, Keep

FULL_PAUSE_S = 1.0
"""How often a turn that is held for want of room is tried again."""

REST_S = 30.0
"""A workflow that only waits, and for longer than this, leaves memory."""

TURN_STEPS_MAX = 64
TURN_S_MAX = 0.005

_log = structlog.get_logger("opcode.workflow")


@dataclass(slots=True)
class _Turn:
    """What a turn has brought, and what is left of it: `awaited` is somebody who waits for its commit."""

    events: list[ev.AnyEvent]
    more: bool
    refused: bool = False
    awaited: trio.Event | None = None


class WorkflowActor(JournaledActor[cmd.AnyCommand, Answer, ev.AnyEvent]):
    """Owns one workflow from its first event, or from its journal, to its end."""

    mailbox_size_max = 1_000
    stash_size_max = 4_000
    turns_beside: ClassVar[bool] = True
    """Whether turns are taken where effects report; not where somebody has to see every message."""

    def __init__(self, kit: Kit, workflow_id: str, loaded: Loaded | None = None) -> None:
        """`loaded` is given for a workflow that is about to be created; any other is read from the journal."""
        super().__init__(workflow_id, kit.streams, permits=kit.permits)
        self._kit = kit
        self._fresh = loaded
        self._loaded: Loaded | None = None
        self._state = WorkflowState()
        self._effects: Effects | None = None
        self._in_place: InPlace | None = None
        self._starting = True
        self._looking = False
        self._kept_seq = 0
        self._landing: _Turn | None = None

    async def on_start(self) -> None:
        """Take up a new workflow, or an old one where its journal says it stood."""
        await self._begin()
        self._starting = False

    async def _begin(self) -> None:
        if self._fresh is not None:
            self._take_up(self._fresh, WorkflowState())
            return
        async with self.permits:
            loaded, state, self.seq, self._kept_seq = await recovery.bring_back(
                self._kit, self.stream
            )
        back = self._kit.wakeups.back(self.stream)
        self._take_up(loaded, state, passed=back.passed)
        if recovery.was_cut(state, rested=back.rested):
            now = self._kit.clock.now()
            await self._turn(
                cmd.Recover(
                    at=now,
                    down_s=max(0.0, now - state.last_at),
                    answers=recovery.answers_for(self._kit.settings.answers, loaded.plan, state),
                )
            )
            return
        # Its wake-up is gone. Should the message that brought it back change nothing, its timers count from here.
        _, _, effects, in_place = self._parts()
        effects.reconcile(wanted(loaded.plan, state), leave=in_place.may)

    def _take_up(self, loaded: Loaded, state: WorkflowState, passed: float = -math.inf) -> None:
        self._loaded, self._state = loaded, state
        self._effects = Effects(self._kit, self, loaded, state, passed=passed)
        self._in_place = InPlace(self._kit, loaded, state, self._effects)

    async def on_receive(self, message: cmd.AnyCommand) -> Answer:
        """Take one turn. Replies with what was decided, once it is on disk."""
        full = self._kit.room.level() is Level.ENDS_ONLY
        if full and self._needs_room(message):
            return self._put_off(message)
        if self._stashed_count():
            if not full:
                self.stash(message)  # those that came before it come first
            self.unstash_all()
            if not full:
                return cmd.Decision()
        try:
            if self._landing is not None:
                await self._land()
            return await self._turn(message)
        except OpcodeError as error:
            if isinstance(message, cmd.Create):
                self.stop()
                return cmd.Rejected(error.info())
            self.end_failed(error)
            raise
        except Exception as error:
            self.end_failed(error)
            raise self._bug(error) from error

    def _bug(self, error: Exception) -> OpcodeError:
        """A fault of ours, as whoever asked hears of it."""
        return OpcodeError(
            ErrorCode.EXECUTION_ERROR,
            f"workflow {self.stream} could not take its turn: {error!r}",
            next="it begins anew from its journal; the daemon's log has the whole error",
        )

    def _needs_room(self, message: cmd.AnyCommand) -> bool:
        """Whether a turn would do more than bring the workflow to its end."""
        if isinstance(message, cmd.Create):
            return True
        if isinstance(message, cmd.SignalSent):
            return message.signal_type != "cancel"
        return self._state.ending is None and len(self._state.unfinished) > 1

    def _put_off(self, message: cmd.AnyCommand) -> Answer:
        """The journal is all but full: refuse what others ask, keep what our own effects report.

        A Tick says nothing that the one which follows when there is room would not say.
        """
        if isinstance(message, cmd.Create):
            self.stop()
        if isinstance(message, cmd.SignalSent | cmd.Create):
            return cmd.Rejected(self._kit.room.refusal().info())
        if not self._looking:
            self._looking = True
            _log.warning("journal full: holding a workflow", workflow_id=self.stream)
            self.start_soon(self._look_for_room, name="look for room")
        if not isinstance(message, cmd.Tick):
            self.stash(message)
        return cmd.Decision()

    async def _look_for_room(self) -> None:
        while True:
            await trio.sleep(FULL_PAUSE_S)
            if self._kit.room.level() is not Level.ENDS_ONLY:
                break
        self._looking = False
        self.tell(cmd.Tick(at=self._kit.clock.now()))

    async def on_stop(self) -> None:
        """Give back what the effects hold."""
        await self._last_landing()
        self._let_go()

    async def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give back what the effects hold, and say what happened."""
        await self._last_landing()
        self._let_go()
        _log.error("workflow actor failed", workflow_id=self.stream, error=str(exception_value))

    async def _last_landing(self) -> None:
        """A successor reads the journal: it shall find there what is on its way."""
        turn = self._landing
        if turn is not None and not turn.refused:
            turn.awaited = trio.Event()
            await turn.awaited.wait()

    def _let_go(self) -> None:
        if self._effects is not None:
            self._effects.withdraw_all()
        self._effects = self._in_place = None  # they know this actor

    def begin(self, fn: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a child task that carries out effects. An actor that ends begins nothing."""
        if self.actor_inbox.closed:
            return
        self.start_soon(fn, name=f"effects of {self.stream}")

    def tell(self, command: cmd.AnyCommand) -> None:
        """Send itself a command. An actor that ends hears nothing: its successor finds what is wanted still."""
        with suppress(ActorDeadError):
            self.actor_ref.tell_system(command)

    def report(self, command: cmd.AnyCommand) -> None:
        """An effect says what came of it."""
        if self._may_turn_beside(command):
            self._turn_beside(command)
        else:
            self.tell(command)

    def _may_turn_beside(self, command: cmd.AnyCommand) -> bool:
        """Whether a turn can be taken where the report is made: waking the actor for it costs as much again.

        Not for a Tick: a turn may end with one, and would begin the next inside itself.
        """
        return (
            self.turns_beside
            and type(command) is not cmd.Tick
            and self._landing is None
            and self.actor_inbox.is_waited_at()
            and not self._stashed_count()
            and self._kit.room.level() is not Level.ENDS_ONLY
        )

    def _turn_beside(self, command: cmd.AnyCommand) -> None:
        try:
            _, events, more = self._take(command)
            turn = _Turn(events, more)
            if not events:
                return self._follow(turn)
            self._landing = turn
            self._kit.writer.append_soon(Append(self.stream, self.seq, tuple(events)), self._landed)
        except OpcodeError as error:
            if self._landing is None:
                self.end_failed(error)
            else:
                self._landed(None)
        except Exception as error:
            self.end_failed(error)

    def _landed(self, place: Appended | None) -> None:
        """The turn that was taken beside the mailbox is on disk, or was refused: then the actor itself writes it."""
        turn = self._landing
        if turn is None or self._effects is None:
            return
        try:
            if place is None:
                turn.refused = True
                self.tell(cmd.Tick(at=self._kit.clock.now()))
            else:
                self._landing = None
                self.seq = place.last_seq
                self._keep_snapshot(at_rest=False)
                self._follow(turn)
        except Exception as error:
            self.end_failed(error)
        if turn.awaited is not None:
            turn.awaited.set()

    async def _land(self) -> None:
        """Before another turn: wait until the one that was taken beside the mailbox is on disk, or write it."""
        while (turn := self._landing) is not None:
            turn.awaited = trio.Event()
            if not turn.refused:
                await turn.awaited.wait()
                continue
            await self._put_on_disk(turn.events)
            self._landing = None
            self._follow(turn)

    async def _turn(self, command: cmd.AnyCommand) -> Answer:
        answer, events, more = self._take(command)
        if events:
            await self._put_on_disk(events)
        self._follow(_Turn(events, more))
        return answer

    def _take(self, command: cmd.AnyCommand) -> tuple[Answer, list[ev.AnyEvent], bool]:
        """Steps 1 and 2: the answer, all events, and whether there is more to do in place."""
        loaded, state, _, _ = self._parts()
        answer = take(loaded.plan, state, command)
        if isinstance(answer, cmd.Rejected):
            return answer, [], False
        events = list(answer.events)
        return answer, events, self._work_in_place(events)

    def _follow(self, turn: _Turn) -> None:
        """Step 4, and what the actor does until its next turn."""
        loaded, state, effects, in_place = self._parts()
        wishes = wanted(loaded.plan, state)
        effects.reconcile(wishes, leave=in_place.may)
        if turn.more or (len(turn.events) > SHORT_EVENTS and unrest(loaded.plan, state)):
            self.tell(cmd.Tick(at=self._kit.clock.now()))
        elif turn.awaited is None:
            self._rest(wishes)

    async def _put_on_disk(self, events: list[ev.AnyEvent]) -> None:
        """Write what the turn brought. While the disk is full it is held: nothing has left the actor yet.

        A workflow that is only being created is refused instead, there is nothing to lose; and nobody holds up the end
        of the runtime.
        """
        held = False
        while True:
            try:
                await self.persist(events)
                return self._keep_snapshot(at_rest=False)
            except Refused as error:
                if error.code not in PASSING or not self.seq or self.actor_inbox.draining:
                    raise
                if not held:
                    held = True
                    _log.warning("holding a turn", workflow_id=self.stream, error=error.message)
                await trio.sleep(FULL_PAUSE_S)

    def _keep_snapshot(self, *, at_rest: bool) -> None:
        """Leave a snapshot behind when it is due. Nobody waits for it: it goes with the next commit, or not at all."""
        if not snapshots.is_due(self._state, self.seq - self._kept_seq, at_rest=at_rest):
            return
        if self._kit.room.level() is not Level.FREE:
            return
        self._kept_seq = self.seq
        try:
            body = snapshots.encode(self._state)
        except (ValueError, TypeError) as error:
            _log.warning("no snapshot", workflow_id=self.stream, error=str(error))
            return
        self._kit.writer.enter_soon(Keep(self.stream, self.seq, body))

    def _work_in_place(self, events: list[ev.AnyEvent]) -> bool:
        """Do what needs no task, within the bounds of one turn. True when there is more to do."""
        loaded, state, _, in_place = self._parts()
        deadline = time.perf_counter() + TURN_S_MAX
        for _ in range(TURN_STEPS_MAX):
            command = in_place.next_command()
            if command is None:
                return False
            answer = take(loaded.plan, state, command)
            if isinstance(answer, cmd.Decision):
                events += answer.events
            if time.perf_counter() > deadline:
                break
        return True

    def _rest(self, wishes: tuple[fx.Effect, ...]) -> None:
        """Leave memory when there is nothing to wait for in it, or nothing but a moment that is far off.

        Not while it only comes to life: whoever brings it up would find it gone, and begin anew. Nor while it has
        messages: what was accepted is still handled after a stop, and what that started would be cut.
        """
        if self._starting:
            self.tell(cmd.Tick(at=self._kit.clock.now()))
            return
        if not self.actor_inbox.empty():
            return
        state = self._state
        if state.status in ENDED or not state.workflow_id:
            self.stop()
            return
        _, _, effects, _ = self._parts()
        due = effects.far_due(wishes, REST_S)
        if due is not None:
            moment = due if due < NEVER else None
            self._keep_snapshot(at_rest=True)
            active = state.status is WorkflowStatus.ACTIVE
            self._kit.wakeups.rest(self.stream, moment, active=active)
            self.stop()

    def _parts(self) -> tuple[Loaded, WorkflowState, Effects, InPlace]:
        assert self._loaded is not None
        assert self._effects is not None
        assert self._in_place is not None
        return self._loaded, self._state, self._effects, self._in_place
