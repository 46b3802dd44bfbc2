"""The runtime: everything but a front door. The daemon is this plus the front, an embedder has it to itself.

What is opened is closed in reverse: actors, expression workers, action resources, the journal writer, the journal.
Leaving the context drains for `settings.drain_s` and leaves every workflow resumable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import trio

from actors import open_actor_system
from actors.persistence import RecoveryPermits
from opcode_runtime.actions import (
    Action,
    ActionSettings,
    Registry,
    builtin_registry,
    open_action_resources,
)
from opcode_runtime.engine.breakers import BreakerLimits, Breakers
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.expression_workers import (
    InlineExpressionWorkers,
    Workers,
    open_expression_workers,
)
from opcode_runtime.engine.handle import Handle
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.journal_port import JournalPort
from opcode_runtime.engine.journal_writer import JournalWriter, open_journal_writer
from opcode_runtime.engine.kit import Kit, Peers
from opcode_runtime.engine.recovery import read_off_loop
from opcode_runtime.engine.requests import Define, Query, Run, Signal, Status
from opcode_runtime.engine.router import Router
from opcode_runtime.engine.slots import StepSlots
from opcode_runtime.engine.templates import Templates
from opcode_runtime.engine.wakeups import Wakeups
from opcode_runtime.engine.workflows import Workflows, open_workflows
from opcode_runtime.expressions import compile_expression
from opcode_runtime.model.settings import Settings
from opcode_runtime.sandbox import sweep
from opcode_runtime.storage import Journal

_log = structlog.get_logger("opcode.runtime")

TAKE_UP_S = 0.5
"""How long opening waits for the open workflows to be taken up again. Thousands of them go on behind an open door."""

EMBEDDED = "embedded"
"""The principal, and the agent unless another is named, of calls that come from the embedding program."""


class Runtime:
    """A running engine. Made by `open_runtime`; two of them in one process know nothing of each other."""

    def __init__(
        self, kit: Kit, slots: StepSlots, workflows: Workflows, router: Router, swept: int
    ) -> None:
        self._kit = kit
        self._slots = slots
        self._workflows = workflows
        self.router = router
        self.swept = swept
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
            journal = journal or _journal_in(Path(data_dir), settings)
            yield await _open_and_recover(stack, Path(data_dir), actions, settings, journal)
    except BaseExceptionGroup as group:
        alone = _alone(group)
    if alone is not None:
        raise alone


def _alone(error: BaseException) -> BaseException:
    """What the caller's block raised, without the nurseries around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _journal_in(data_dir: Path, settings: Settings) -> Callable[[], Journal]:
    directory = Path(settings.db_path) if settings.db_path else data_dir / "journal"
    return lambda: Journal.open(directory, map_bytes=settings.journal_bytes_max)


async def _open_and_recover(
    stack: AsyncExitStack,
    data_dir: Path,
    actions: Iterable[Action],
    settings: Settings,
    open_journal: Callable[[], Journal],
) -> Runtime:
    runtime, writer, workflows, kit = await _open(stack, data_dir, actions, settings, open_journal)
    nursery = await stack.enter_async_context(trio.open_nursery())
    stack.callback(nursery.cancel_scope.cancel)
    stack.push_async_callback(runtime.drain)
    nursery.start_soon(_watch_poison, writer)
    nursery.start_soon(_take_up, runtime, workflows, kit)
    with trio.move_on_after(TAKE_UP_S):
        await runtime.recovered.wait()
    nursery.start_soon(kit.wakeups.run)
    if not kit.clock.virtual:
        nursery.start_soon(trio.to_thread.run_sync, _warm_up)
    runtime.ready.set()
    return runtime


async def _take_up(runtime: Runtime, workflows: Workflows, kit: Kit) -> None:
    found = await read_off_loop(kit.clock, lambda: _look_for_open(kit))
    for workflow_id, due in found.due:
        kit.wakeups.rest(workflow_id, due, active=False, behind_s=found.behind_s)
    await workflows.recover(found.active)
    runtime.recovered.set()


async def _open(
    stack: AsyncExitStack,
    data_dir: Path,
    actions: Iterable[Action],
    settings: Settings,
    open_journal: Callable[[], Journal],
) -> tuple[Runtime, JournalWriter, Workflows, Kit]:
    """Open every part, in the order in which they need each other."""
    clock = Clock.current()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    journal = await read_off_loop(clock, open_journal)
    stack.callback(journal.close)
    for notice in journal.notices:
        _log.warning("journal", notice=notice)
    children_dir = data_dir / "children"
    children_dir.mkdir(mode=0o700, exist_ok=True)
    swept = 0 if clock.virtual else await sweep(children_dir)
    hub = Hub()
    writer = await stack.enter_async_context(open_journal_writer(journal, hub, clock))
    registry = _registry(actions)
    slots = StepSlots(settings.pool_size)
    peers = Peers()
    kit = Kit(
        settings=settings,
        clock=clock,
        journal=journal,
        writer=writer,
        streams=JournalPort(journal, writer, clock),
        permits=RecoveryPermits(settings.limits.recoveries_max),
        hub=hub,
        templates=Templates(journal, registry, settings),
        registry=registry,
        workers=await _open_workers(stack, clock),
        action_settings=_action_settings(settings, data_dir),
        resources=await stack.enter_async_context(open_action_resources()),
        slots=slots,
        breakers=_breakers(settings),
        peers=peers,
        wakeups=Wakeups(clock, peers),
        data_dir=data_dir,
        children_dir=children_dir,
    )
    system = await stack.enter_async_context(open_actor_system(f"opcode {data_dir.name}"))
    workflows = await open_workflows(kit, system)
    peers.bind(workflows)
    return Runtime(kit, slots, workflows, Router(kit, workflows), swept), writer, workflows, kit


def _breakers(settings: Settings) -> Breakers:
    limits = settings.limits
    return Breakers(BreakerLimits(limits.breaker_failures_max, limits.breaker_cooldown_s))


def _registry(actions: Iterable[Action]) -> Registry:
    registry = builtin_registry()
    for each in actions:
        registry.register(each)
    return registry


async def _open_workers(stack: AsyncExitStack, clock: Clock) -> Workers:
    if clock.virtual:
        return InlineExpressionWorkers()
    return await stack.enter_async_context(open_expression_workers())


def _action_settings(settings: Settings, data_dir: Path) -> ActionSettings:
    return ActionSettings(
        data_dir=str(data_dir.resolve()),
        allow_private=settings.allow_private,
        allow_hosts=settings.allow_hosts,
        read_only_paths=settings.read_only_paths,
        writable_paths=settings.writable_paths,
        deny_paths=settings.deny_paths,
        body_bytes_max=settings.limits.http_body_bytes_max,
        output_bytes_max=settings.limits.output_bytes_max,
        file_bytes_max=settings.limits.file_bytes_max,
    )


def _warm_up() -> None:
    """Build what the first expression would otherwise build on the loop: the grammar takes a fifth of a second."""
    compile_expression("inputs.a == 'a' && has(inputs.b)")


@dataclass(frozen=True, slots=True)
class _Found:
    """The open workflows of a journal: those that go on by themselves, and when something falls due in the others."""

    active: list[str]
    due: list[tuple[str, float]]
    behind_s: float


def _look_for_open(kit: Kit) -> _Found:
    """Suspended workflows stay on disk until somebody speaks to them, or until something in them falls due.

    A clock that was set back while nobody was here makes no timer longer.
    """
    active, due = [], []
    for each in kit.journal.open_workflows():
        row = kit.journal.workflow(each)
        if row is not None and row.status != "suspended":
            active.append(each)
        elif row is not None and row.wake_at is not None:
            due.append((each, row.wake_at))
    last_at = kit.journal.last_at() or 0.0
    return _Found(active, due, max(0.0, last_at - kit.clock.now()))


async def _watch_poison(writer: JournalWriter) -> None:
    """An unknown commit result ends the runtime: only a fresh look at the journal tells what is true."""
    await writer.poisoned.wait()
    assert writer.poison is not None
    raise writer.poison
