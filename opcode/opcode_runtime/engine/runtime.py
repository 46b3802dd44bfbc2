"""The runtime: everything but a front door. The daemon is this plus the front, an embedder has it to itself.

What is opened is closed in reverse: actors, expression workers, action resources, the journal writer, the journal.
Leaving the context drains for `settings.drain_s` and leaves every workflow resumable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from opcode_runtime.actions import Action
from opcode_runtime.engine import caretaker
from opcode_runtime.engine.handle import Handle
from opcode_runtime.engine.opening import Parts, journal_in, open_parts
from opcode_runtime.engine.requests import Define, Query, Run, Signal, Status
from opcode_runtime.engine.router import Router
from opcode_runtime.model.settings import Settings
from opcode_runtime.storage import Journal

TAKE_UP_S = 0.1
"""How long opening waits for the open workflows to be taken up again. Thousands of them go on behind an open door."""

EMBEDDED = "embedded"
"""The principal, and the agent unless another is named, of calls that come from the embedding program."""


class Runtime:
    """A running engine. Made by `open_runtime`; two of them in one process know nothing of each other."""

    def __init__(self, parts: Parts) -> None:
        self._kit = parts.kit
        self._slots = parts.slots
        self._workflows = parts.workflows
        self.router = Router(parts.kit, parts.workflows)
        self.swept = parts.swept
        self.ready = trio.Event()
        self.recovered = trio.Event()

    @property
    def settings(self) -> Settings:
        """What it was opened with."""
        return self._kit.settings

    @property
    def data_dir(self) -> Path:
        """Where it keeps its journal."""
        return self._kit.data_dir

    async def define(
        self,
        name: str,
        definition: dict[str, Any],
        *,
        input_schema: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | None = None,
    ) -> str:
        """Store a definition and return its version, such as `v1`.

        Raises:
            OpcodeError: VALIDATION_ERROR, with every problem found.
        """
        request = Define(
            name=name,
            definition=definition,
            agent_id=EMBEDDED,
            input_schema=input_schema,
            output_schema=output_schema,
        )
        return str((await self.router.handle(request, principal=EMBEDDED))["version"])

    async def run(
        self,
        name: str,
        params: dict[str, Any] | None = None,
        *,
        version: str | None = None,
        agent_id: str = EMBEDDED,
        idempotency_key: str | None = None,
    ) -> Handle:
        """Start a workflow; returns once it is on disk.

        Raises:
            OpcodeError: NOT_FOUND for the template, VALIDATION_ERROR for the inputs.
        """
        request = Run(
            template_name=name,
            params=params or {},
            version=version,
            agent_id=agent_id,
            idempotency_key=idempotency_key,
        )
        return self.handle(await self.router.start(request, principal=EMBEDDED))

    def handle(self, workflow_id: str) -> Handle:
        """The handle of a workflow whose id is known, from an earlier life for instance."""
        return Handle(self._kit, self.router, workflow_id)

    async def signal(
        self,
        workflow_id: str,
        signal_type: str,
        payload: dict[str, Any] | None = None,
        *,
        step_id: str | None = None,
        agent_id: str | None = EMBEDDED,
        reasoning: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Tell a workflow something; as the tool `opcode.signal`."""
        request = Signal(
            workflow_id=workflow_id,
            signal_type=signal_type,
            payload=payload or {},
            step_id=step_id,
            agent_id=agent_id,
            reasoning=reasoning,
            idempotency_key=idempotency_key,
        )
        return await self.router.handle(request, principal=EMBEDDED)

    async def status(self, workflow_id: str, *, since_seq: int = 0) -> dict[str, Any]:
        """Everything about one workflow; as the tool `opcode.status`."""
        request = Status(workflow_id=workflow_id, since_seq=since_seq)
        return await self.router.handle(request, principal=EMBEDDED)

    async def query(self, resource: str, filter: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: A002
        """List things; as the tool `opcode.query`."""
        request = Query(resource=resource, filter=filter or {})  # type: ignore[arg-type]
        return await self.router.handle(request, principal=EMBEDDED)

    async def drain(self) -> int:
        """Take no new workflows, begin no further step, and give running ones `settings.drain_s` to end.

        Returns:
            How many steps still ran: they are ended with the runtime, and are in doubt at the next start. A second
            drain waits no longer.
        """
        self.router.stop_accepting()
        if not self._slots.closed:
            self._slots.close()
            with trio.move_on_after(self.settings.drain_s):
                await self._slots.wait_idle()
        return self._slots.in_use

    def statistics(self) -> dict[str, Any]:
        """Counters of the parts, for operators."""
        return {
            "writer": self._kit.writer.statistics(),
            "hub": self._kit.hub.statistics(),
            "wakeups": self._kit.wakeups.statistics(),
            "slots": {"in_use": self._slots.in_use, "total": self._slots.total},
            "quarantined": dict(self._workflows.quarantined),
        }


@asynccontextmanager
async def open_runtime(
    data_dir: Path | str,
    *,
    actions: Iterable[Action] = (),
    settings: Settings | None = None,
    journal: Callable[[], Journal] | None = None,
) -> AsyncIterator[Runtime]:
    """Open a runtime on `data_dir` for as long as the context lasts, with its open workflows taken up again.

    Where there are thousands of those, the last are taken up after it is open; `Runtime.recovered` is set then. A
    command to one of them takes it up at once.

    Arguments:
        data_dir: created (mode 0700) when it does not exist.
        actions: actions of the embedder's own, made with `opcode_runtime.action`.
        settings: defaults when left out.
        journal: opens the journal, for simulations; left out, it is the one in `data_dir`, or in `settings.db_path`.

    Raises:
        OpcodeError: the journal is locked by another runtime, damaged or unreadable.
    """
    alone: BaseException | None = None
    try:
        async with AsyncExitStack() as stack:
            settings = settings or Settings()
            journal = journal or journal_in(Path(data_dir), settings)
            yield await _open(stack, Path(data_dir), actions, settings, journal)
    except BaseExceptionGroup as group:
        alone = _alone(group)
    if alone is not None:
        raise alone


def _alone(error: BaseException) -> BaseException:
    """What the caller's block raised, without the nurseries around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def _open(
    stack: AsyncExitStack,
    data_dir: Path,
    actions: Iterable[Action],
    settings: Settings,
    open_journal: Callable[[], Journal],
) -> Runtime:
    parts = await open_parts(stack, data_dir, actions, settings, open_journal)
    runtime = Runtime(parts)
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    stack.push_async_callback(runtime.drain)
    caretaker.start(nursery, parts.kit, parts.workflows, runtime.recovered)
    with trio.move_on_after(TAKE_UP_S):
        await runtime.recovered.wait()
    runtime.ready.set()
    return runtime
