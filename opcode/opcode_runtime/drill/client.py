"""Who stands outside of a drilled workflow: defines it, runs it, answers its questions, sends its signals.

Every call carries an idempotency key that is the same in every life. After a crash the client does what a careful one
does: it makes its calls again, since it cannot know which of them were heard.

Rule 1: a question is answered as in the recording, at the same moment of the time line. Without a recording it is
answered by its fallback, else by its first option, else with a word; a wait for a signal gets that signal. A drill
never hangs on a question.
Rule 2: doubt after a crash is settled by the answers given in advance, else by its first option, `retry`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from opcode_runtime.drill.book import AFTER_CRASH, ROOT, Asked
from opcode_runtime.drill.playing import Timeline
from opcode_runtime.drill.recording import Answer, Recording, Sent
from opcode_runtime.drill.subject import Subject
from opcode_runtime.drill.tap import Tap
from opcode_runtime.engine.requests import Define, Run, Signal
from opcode_runtime.engine.runtime import Runtime
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.ids import unmarked

AGENT = "drill"
ANSWER_S = 1.0
"""How long the client takes to answer where no recording says it."""

RESUMES_MAX = 5
"""How often a workflow that its timeout has suspended is let go on."""

_FREE_TEXT = "as you think best"


@dataclass(slots=True)
class Client:
    """The outside of one life.

    Arguments:
        recording: what it did before; None when it makes up its answers.
        payloads: what a wait's signal carries, by `template/step` or step.
        cwd: where the workflow's relative paths start.
    """

    subject: Subject
    tap: Tap
    timeline: Timeline
    recording: Recording | None = None
    payloads: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    cwd: str | None = None
    refusals: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    requests: dict[str, Signal] = field(default_factory=dict)
    _seen: set[Any] = field(default_factory=set)
    _resumes: int = 0

    async def live(self, runtime: Runtime) -> None:
        """Do everything, until the workflow and all its sub-workflows have ended."""
        await self._define(runtime)
        await self._run(runtime)
        async with trio.open_nursery() as nursery:
            while not self._is_over():
                grew = self.tap.grew
                self._tend(nursery, runtime)
                await grew.wait()
            nursery.cancel_scope.cancel()
        if self.tap.twice_at:
            await self._run(runtime)

    async def _define(self, runtime: Runtime) -> None:
        for number, each in enumerate(self.subject.templates):
            request = Define(
                name=each.name,
                definition=each.definition,
                input_schema=each.input_schema,
                output_schema=each.output_schema,
                agent_id=AGENT,
                idempotency_key=f"drill-define-{number}",
            )
            before = len(self.tap.commits)
            reply = await runtime.router.handle(request, principal=AGENT)
            if (each.name, reply["version"]) not in self.tap.book.versions:
                self.problems.append(
                    f"define was answered before {each.name}@{reply['version']} was on disk"
                )
            if self._is_repeated(before):
                again = await runtime.router.handle(request, principal=AGENT)
                self._compare("define", reply["version"], again["version"])

    async def _run(self, runtime: Runtime) -> None:
        request = Run(
            template_name=self.subject.name,
            version=self.subject.version,
            params=self.subject.params,
            agent_id=self.subject.agent_id,
            idempotency_key="drill-run",
            cwd=self.cwd,
        )
        before = len(self.tap.commits)
        workflow_id = await runtime.router.start(request, principal=AGENT)
        if workflow_id != self.tap.book.ids.get(ROOT):
            self.problems.append(f"run was answered with {workflow_id}, which is not on disk")
        if self._is_repeated(before):
            again = await runtime.router.start(request, principal=AGENT)
            self._compare("run", workflow_id, again)

    def _is_repeated(self, before: int) -> bool:
        return before < self.tap.twice_at <= len(self.tap.commits)

    def _compare(self, call: str, first: str, second: str) -> None:
        if first != second:
            self.problems.append(
                f"{call}, called again with its key, answered {second} and not {first}"
            )

    def _is_over(self) -> bool:
        book = self.tap.book
        return ROOT in book.ids and book.names.keys() <= book.ended.keys()

    def _tend(self, nursery: trio.Nursery, runtime: Runtime) -> None:
        """Begin what the journal now calls for and is not begun."""
        book = self.tap.book
        for decision_id, asked in book.decisions.items():
            if self._is_new(decision_id):
                nursery.start_soon(self._answer, runtime, decision_id, asked)
        for number, sent in enumerate(self.recording.signals if self.recording else ()):
            if book.has_reached(sent.after) and self._is_new(number):
                nursery.start_soon(self._send, runtime, number, sent)
        for place, wait in book.waits.items() if self.recording is None else ():
            if wait.signal and self._is_new(place):
                nursery.start_soon(self._release, runtime, place, wait.signal)
        for workflow_id, reason in book.held.items():
            if self._is_new((workflow_id, reason, book.counts.total())):
                nursery.start_soon(self._resume, runtime, workflow_id, reason)

    def _is_new(self, mark: Any) -> bool:
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True

    async def _answer(self, runtime: Runtime, decision_id: str, asked: Asked) -> None:
        answer = self._answer_to(asked)
        if answer is None:
            return  # in the recording nobody answered: its deadline did
        name = asked.key
        if asked.event.kind == "reasoning":
            await trio.sleep_until(self.timeline.moment(name, answer.delay_s))
            key = f"drill-answer-{name[0]}-{name[1]}-{name[2]}"
        else:
            key = f"{AFTER_CRASH}-{decision_id}-{self.tap.book.counts.total()}"
        if decision_id not in self.tap.book.decisions:
            return
        payload = {"choice": answer.choice}
        if answer.data is not None:
            payload["data"] = answer.data
        await self._signal(
            runtime,
            Signal(
                workflow_id=asked.workflow_id,
                signal_type="decision",
                step_id=asked.event.step_id,
                payload=payload,
                reasoning=answer.reasoning,
                agent_id=asked.event.target_agent_id or answer.agent_id or AGENT,
                idempotency_key=key,
            ),
        )

    def _answer_to(self, asked: Asked) -> Answer | None:
        event = asked.event
        if event.kind == "reasoning" and self.recording is not None:
            found = self.recording.answers.get(asked.key)
            if found is not None or self._was_asked(asked):
                return found
        options = [str(each["id"]) for each in event.options]
        choice = event.fallback or (options[0] if options else _FREE_TEXT)
        return Answer(choice, ANSWER_S)

    def _was_asked(self, asked: Asked) -> bool:
        """Whether the recording has the question too; one that only a crash leads to is not in it."""
        assert self.recording is not None
        return asked.key in self.recording.asked

    async def _send(self, runtime: Runtime, number: int, sent: Sent) -> None:
        await trio.sleep_until(self.timeline.moment(("signal", number), sent.delay_s))
        workflow_id = self.tap.book.ids.get(sent.after.workflow)
        if workflow_id is None:
            return
        await self._signal(
            runtime,
            Signal(
                workflow_id=workflow_id,
                signal_type=sent.signal_type,
                payload=sent.payload,
                step_id=sent.step_id,
                agent_id=sent.agent_id,
                idempotency_key=f"drill-signal-{number}",
            ),
        )

    async def _release(self, runtime: Runtime, place: tuple[str, str], signal: str) -> None:
        """Send what a wait waits for, with what was given for it."""
        await trio.sleep(ANSWER_S)
        if place not in self.tap.book.waits:
            return
        workflow_id, path = place
        plain = unmarked(path)
        names = (f"{self.subject.name}/{plain}", plain, plain.rpartition(".")[2], signal)
        payload = next((self.payloads[name] for name in names if name in self.payloads), {})
        key = f"drill-wait-{self.tap.book.name_of(workflow_id)}-{path}"
        await self._signal(
            runtime,
            Signal(
                workflow_id=workflow_id,
                signal_type=signal,
                payload=payload,
                agent_id=AGENT,
                idempotency_key=key,
            ),
        )

    async def _resume(self, runtime: Runtime, workflow_id: str, reason: str) -> None:
        """Let a workflow go on that a crash holds, or its timeout where no recording says what was done then."""
        if reason not in {"recovery", "timeout"}:
            return
        if reason == "timeout" and self.recording is not None:
            return
        self._resumes += 1
        if reason == "timeout":
            await trio.sleep(ANSWER_S)
        kind = "resume" if reason == "recovery" or self._resumes <= RESUMES_MAX else "cancel"
        mark = AFTER_CRASH if reason == "recovery" else "drill-timeout"
        await self._signal(
            runtime,
            Signal(
                workflow_id=workflow_id,
                signal_type=kind,
                agent_id=AGENT,
                idempotency_key=f"{mark}-{reason}-{self.tap.book.counts.total()}",
            ),
        )

    async def _signal(self, runtime: Runtime, request: Signal) -> None:
        """Send a signal; what comes too late is refused and noted."""
        before = len(self.tap.commits)
        key = request.idempotency_key or ""
        self.requests[key] = request
        try:
            await runtime.router.handle(request, principal=AGENT)
            if self._is_repeated(before):
                await runtime.router.handle(request, principal=AGENT)
        except OpcodeError as error:
            self.refusals.append(f"{request.signal_type}: {error}")

    async def repeat(self, runtime: Runtime, request: Signal) -> None:
        """Make a call again whose answer was lost; with its key it must be answered and act no second time."""
        try:
            await runtime.router.handle(request, principal=AGENT)
        except OpcodeError as error:
            self.problems.append(
                f"{request.signal_type}, repeated with its key after the crash, was refused: {error}"
            )
