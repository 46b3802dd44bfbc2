"""A workflow in the hands of whoever started it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.recovery import read_off_loop, unknown_workflow
from opcode_runtime.engine.router import Router
from opcode_runtime.engine.run import ENDED, WAIT_S_MAX, wait_for_status
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.events import WorkflowCancelled as CancelledEvent
from opcode_runtime.model.events import WorkflowCompleted
from opcode_runtime.model.events import WorkflowFailed as FailedEvent
from opcode_runtime.model.record import Record

_TERMINAL = (WorkflowCompleted, FailedEvent, CancelledEvent)


class WorkflowFailed(OpcodeError):  # noqa: N818 - named as the event
    """The workflow ended with an error; `error` is the whole of it as JSON."""

    def __init__(self, workflow_id: str, error: dict[str, Any]) -> None:
        super().__init__(ErrorCode(error["code"]), error["message"], details=error)
        self.workflow_id = workflow_id
        self.error = error


class WorkflowCancelled(OpcodeError):  # noqa: N818 - named as the event
    """Somebody cancelled the workflow."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(ErrorCode.CANCELLED, f"workflow {workflow_id} was cancelled")
        self.workflow_id = workflow_id


class Handle:
    """One workflow. Losing the handle, or cancelling a wait on it, does nothing to the workflow."""

    def __init__(self, kit: Kit, router: Router, workflow_id: str) -> None:
        self._kit = kit
        self._router = router
        self.workflow_id = workflow_id

    async def result(self) -> Any:
        """Wait for the end and return the workflow's output, however long it takes.

        Raises:
            WorkflowFailed: it ended with an error.
            WorkflowCancelled: it was cancelled.
            OpcodeError: NOT_FOUND when there is no such workflow, or none any more.
        """
        while True:
            ended = await wait_for_status(self._kit, self.workflow_id, ENDED)
            if isinstance(ended, WorkflowCompleted):
                return msgspec.to_builtins(ended.output)  # the caller's own
            row = self._kit.journal.workflow(self.workflow_id)
            if row is None:
                raise unknown_workflow(self.workflow_id)
            if row.status == "failed":
                raise WorkflowFailed(self.workflow_id, row.error or {})
            if row.status == "cancelled":
                raise WorkflowCancelled(self.workflow_id)
            if row.status == "completed":
                return row.output
            # It was reopened right after its end: that was none.

    async def wait(self, wait_s: float = WAIT_S_MAX) -> dict[str, Any]:
        """Wait until the workflow ends or suspends, at most `wait_s` seconds, and show it as `status` does."""
        return await self._router.wait(self.workflow_id, wait_s)

    async def events(self, since_seq: int = 0) -> AsyncIterator[Record]:
        """Every event after `since_seq`, those to come included, up to the last one of the workflow.

        Raises:
            OpcodeError: NOT_FOUND when there is no such workflow, or none any more.
        """
        seq, ended = since_seq, False
        with self._kit.hub.watch(self.workflow_id) as watch:
            while not ended:
                status = self._kit.journal.workflow_status(self.workflow_id)
                if status is None:
                    raise unknown_workflow(self.workflow_id)
                ended = status in ENDED  # its last event may be before `since_seq`
                for record in await self._read(seq):
                    yield record
                    seq, ended = record.seq, isinstance(record.event, _TERMINAL)
                if not ended:
                    await watch.wait()

    async def _read(self, after_seq: int) -> list[Record]:
        journal = self._kit.journal
        return await read_off_loop(
            self._kit.clock, lambda: journal.read(self.workflow_id, after_seq=after_seq)
        )
