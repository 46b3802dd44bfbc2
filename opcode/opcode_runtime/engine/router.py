"""The one door to the engine: a request comes in, a JSON object or an OpcodeError comes out.

Every front (MCP, command line, embedding) comes through here, so that limits, keys and errors are the same for all.
"""

from __future__ import annotations

from typing import Any

from opcode_runtime.engine import define, query, removal, run
from opcode_runtime.engine.agents import Agents
from opcode_runtime.engine.keys import Key, Keys, holder, key_of
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.looks import Looks
from opcode_runtime.engine.recovery import unknown_workflow
from opcode_runtime.engine.requests import (
    AnyRequest,
    Define,
    Query,
    RemoveTemplate,
    Run,
    Signal,
    Status,
)
from opcode_runtime.engine.workflows import Workflows
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.times import rfc3339

_RESUMING = frozenset({"decision", "resume", "retry", "skip"})
"""Signals after which a workflow that stood still may go on."""


class Router:
    """Carries requests to where they are answered."""

    def __init__(self, kit: Kit, workflows: Workflows) -> None:
        self._kit = kit
        self._workflows = workflows
        self._keys = Keys(kit.journal, kit.clock)
        self._agents = Agents(kit)
        self._looks = Looks(kit, self._keys)
        self._accepting = True

    def stop_accepting(self) -> None:
        """Refuse new workflows and definitions from now on; the runtime is closing."""
        self._accepting = False

    async def handle(self, request: AnyRequest, *, principal: str) -> dict[str, Any]:
        """Answer one request. Cancelling the caller cancels its wait, never a command that is under way.

        Raises:
            OpcodeError: every refusal, with its code.
        """
        match request:
            case Define():
                return await self._define(request, principal)
            case Run():
                self._check_accepting()
                return await self._run(request, principal)
            case Status():
                return await self._status(request)
            case Signal():
                return await self._signal(request, principal)
            case Query():
                return await query.query(self._kit, request)
            case RemoveTemplate():
                self._check_accepting()
                return await removal.remove(self._kit, self._keys, request)

    def _check_accepting(self) -> None:
        if not self._accepting:
            raise OpcodeError(
                ErrorCode.BUSY, "the daemon is stopping", next="try again when it is back"
            )

    async def start(self, request: Run, *, principal: str) -> str:
        """Create a workflow and return its id once it is on disk, without waiting any further."""
        self._check_accepting()
        workflow_id = await run.start(
            self._kit, self._keys, self._workflows, request, principal=principal
        )
        await self._agents.saw(request.agent_id, request.agent_type)
        return workflow_id

    async def _define(self, request: Define, principal: str) -> dict[str, Any]:
        self._check_accepting()
        reply = await define.define(self._kit, self._keys, request, principal=principal)
        if not request.check_only:
            await self._agents.saw(request.agent_id, request.agent_type)
        return reply

    async def _run(self, request: Run, principal: str) -> dict[str, Any]:
        workflow_id = await self.start(request, principal=principal)
        return await run.wait_for_rest(self._kit, workflow_id, request.wait_s)

    async def wait(self, workflow_id: str, wait_s: float) -> dict[str, Any]:
        """Wait until a workflow ends or suspends, at most `wait_s` seconds, and show it."""
        self._check_known(workflow_id)
        return await run.wait_for_rest(self._kit, workflow_id, wait_s)

    async def _status(self, request: Status) -> dict[str, Any]:
        self._check_known(request.workflow_id)
        view = await self._looks.status(
            request.workflow_id, since_seq=request.since_seq, events_max=request.events_max
        )
        if request.workflow_id in self._workflows.quarantined:
            view["quarantined"] = self._workflows.quarantined[request.workflow_id]
        return view

    async def _signal(self, request: Signal, principal: str) -> dict[str, Any]:
        self._check_known(request.workflow_id)
        key = self._signal_key(request, principal)
        async with self._keys.hold(key) as seen:
            if seen is None:
                await self._workflows.command(
                    request.workflow_id,
                    cmd.SignalSent(
                        at=self._kit.clock.now(),
                        signal_type=request.signal_type,
                        payload=request.payload,
                        step_id=request.step_id,
                        agent_id=request.agent_id,
                        reasoning=request.reasoning,
                        key=key.as_tuple() if key else None,
                    ),
                )
        await self._agents.saw(request.agent_id, request.agent_type)
        status = self._check_known(request.workflow_id)
        return {
            "ok": True,
            "workflow_id": request.workflow_id,
            "signal_type": request.signal_type,
            "resumed": request.signal_type in _RESUMING and status != "suspended",
            "status": status,
        }

    def _signal_key(self, request: Signal, principal: str) -> Key | None:
        return key_of(
            holder(principal, request.agent_id),
            "signal",
            request.idempotency_key,
            request.workflow_id,
            request.signal_type,
            request.payload,
            request.step_id,
            request.agent_id,
            request.reasoning,
        )

    def _check_known(self, workflow_id: str) -> str:
        """The status of a workflow, or NOT_FOUND."""
        status = self._kit.journal.workflow_status(workflow_id)
        if status is None:
            raise unknown_workflow(workflow_id)
        return status

    def now(self) -> str | None:
        """The engine's wall-clock time as text."""
        return rfc3339(self._kit.clock.now())
