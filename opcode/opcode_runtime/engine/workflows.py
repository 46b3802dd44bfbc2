"""Find or bring to life the actor of a workflow, and give it commands.

A workflow whose actor keeps failing is quarantined: named, answered with its reason, and nobody else is affected.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
import trio

from actors import (
    ActorDeadError,
    ActorStartError,
    ActorSystem,
    AskTimeout,
    Intensity,
    MailboxFull,
    Registry,
    SupervisorPolicy,
)
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.workflow import WorkflowActor
from opcode_runtime.model import commands as cmd
from opcode_runtime.model.errors import ErrorCode, OpcodeError

COMMAND_S = 30.0
"""How long a command may wait for its turn and its commit."""

RECOVERIES_AT_ONCE = 50
"""How many workflows are taken up at a time after a start, beside the commands that come in."""

_log = structlog.get_logger("opcode.workflows")


class Workflows:
    """The workflows of one runtime that are in memory."""

    def __init__(self, kit: Kit, registry: Registry[str]) -> None:
        self._kit = kit
        self._registry = registry
        self.quarantined: dict[str, str] = {}

    async def command(
        self, workflow_id: str, command: cmd.AnyCommand, *, fresh: Loaded | None = None
    ) -> cmd.Decision:
        """Give `command` to its workflow and return what was decided, once it is on disk.

        Arguments:
            fresh: the template of a workflow that this command creates.

        Raises:
            OpcodeError: what the workflow refused with; NOT_FOUND; BUSY when it did not answer in time (the command
                may still act: repeat it with its idempotency key); STORE_ERROR when it is quarantined.
        """
        if workflow_id in self.quarantined:
            raise self._is_quarantined(workflow_id)
        factory = self._factory(workflow_id, fresh)
        try:
            answer = await self._registry.ask(workflow_id, factory, command, timeout_s=COMMAND_S)
        except ActorStartError as error:
            raise _cause(error) from error
        except (AskTimeout, MailboxFull, ActorDeadError) as error:
            raise OpcodeError(
                ErrorCode.BUSY,
                f"workflow {workflow_id} did not answer: {error}",
                next="ask again; with an idempotency_key nothing happens twice",
            ) from error
        if isinstance(answer, cmd.Rejected):
            raise OpcodeError(answer.error.code, answer.error.message, details=answer.error.details)
        assert isinstance(answer, cmd.Decision)
        return answer

    async def recover(self, workflow_ids: list[str]) -> None:
        """Take up every one of these again. One that cannot be is quarantined; the others go on."""
        limit = trio.CapacityLimiter(RECOVERIES_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for workflow_id in workflow_ids:
                await limit.acquire_on_behalf_of(workflow_id)
                nursery.start_soon(self._recover_one, workflow_id, limit)

    async def _recover_one(self, workflow_id: str, limit: trio.CapacityLimiter) -> None:
        """Have a workflow take one turn: it may leave memory again in it, when all it does is wait."""
        factory, tick = self._factory(workflow_id, None), cmd.Tick(at=self._kit.clock.now())
        try:
            await self._registry.ask(workflow_id, factory, tick, timeout_s=COMMAND_S)
        except ActorStartError as error:
            self.quarantine(workflow_id, _cause(error))
        except (AskTimeout, ActorDeadError, MailboxFull, OpcodeError) as error:
            _log.warning("workflow slow to come back", workflow_id=workflow_id, error=str(error))
        finally:
            limit.release_on_behalf_of(workflow_id)

    def quarantine(self, workflow_id: str, reason: BaseException | None) -> None:
        """Set a workflow aside until the next start; the first reason counts."""
        if workflow_id in self.quarantined:
            return
        self.quarantined[workflow_id] = str(reason)
        _log.error("workflow quarantined", workflow_id=workflow_id, reason=str(reason))

    def _is_quarantined(self, workflow_id: str) -> OpcodeError:
        return OpcodeError(
            ErrorCode.STORE_ERROR,
            f"workflow {workflow_id} is quarantined: {self.quarantined[workflow_id]}",
            next="the journal keeps it as it is; the daemon's log has the whole error",
        )

    def _factory(self, workflow_id: str, fresh: Loaded | None) -> Callable[[], WorkflowActor]:
        return _Factory(self, workflow_id, fresh)

    def make(self, workflow_id: str, fresh: Loaded | None) -> WorkflowActor:
        """The actor of a workflow. Raises OpcodeError when that is quarantined."""
        if workflow_id in self.quarantined:
            raise self._is_quarantined(workflow_id)
        return WorkflowActor(self._kit, workflow_id, fresh)


class _Factory:
    """Makes the actor; only the first one of a new workflow is fresh, its successors read the journal.

    Not a closure: there is one for each workflow in memory.
    """

    __slots__ = ("_fresh", "_workflow_id", "_workflows")

    def __init__(self, workflows: Workflows, workflow_id: str, fresh: Loaded | None) -> None:
        self._workflows = workflows
        self._workflow_id = workflow_id
        self._fresh = fresh

    def __call__(self) -> WorkflowActor:
        fresh, self._fresh = self._fresh, None
        return self._workflows.make(self._workflow_id, fresh)


async def open_workflows(kit: Kit, system: ActorSystem) -> Workflows:
    """Start the supervisor of all workflows in `system`."""
    workflows: Workflows | None = None

    def give_up(name: str, reason: BaseException | None) -> None:
        assert workflows is not None
        workflows.quarantine(name, reason)

    supervisor = await system.supervisor(
        "workflows",
        policy=SupervisorPolicy(
            intensity=Intensity(restarts_max=3, within_s=60.0), on_give_up=give_up
        ),
    )
    workflows = Workflows(kit, Registry(supervisor, restart="transient"))
    return workflows


def _cause(error: ActorStartError) -> OpcodeError:
    """What an actor could not start for, as one of our own errors."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OpcodeError):
        cause = cause.__cause__
    return cause or OpcodeError(ErrorCode.STORE_ERROR, f"the workflow could not start: {error}")
