"""Open the parts of a runtime, each before those that need it. The stack closes them in reverse."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from actors import open_actor_system
from actors.persistence import RecoveryPermits
from opcode_runtime.actions import (
    Action,
    ActionSettings,
    EgressPolicy,
    HttpLimits,
    Registry,
    ShellLimits,
    builtin_registry,
    check_egress,
    open_action_resources,
)
from opcode_runtime.engine.breakers import BreakerLimits, Breakers
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.expression_workers import (
    InlineExpressionWorkers,
    Workers,
    open_expression_workers,
)
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.journal_port import JournalPort
from opcode_runtime.engine.journal_writer import open_journal_writer
from opcode_runtime.engine.kit import Kit, Peers
from opcode_runtime.engine.recovery import read_off_loop
from opcode_runtime.engine.room import Room
from opcode_runtime.engine.slots import StepSlots
from opcode_runtime.engine.templates import Templates
from opcode_runtime.engine.timers import Timers
from opcode_runtime.engine.wakeups import Wakeups
from opcode_runtime.engine.workflows import Workflows, open_workflows
from opcode_runtime.model.errors import ErrorCode, OpcodeError
from opcode_runtime.model.settings import Limits, Settings
from opcode_runtime.sandbox import sweep
from opcode_runtime.secrets import key_file_of, open_vault, watching_logs
from opcode_runtime.storage import Journal

_log = structlog.get_logger("opcode.runtime")

_Bounds = TypeVar("_Bounds", HttpLimits, ShellLimits)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a runtime is made of. `swept` counts children of an earlier life that were still there."""

    kit: Kit
    slots: StepSlots
    workflows: Workflows
    swept: int


def journal_in(data_dir: Path, settings: Settings) -> Callable[[], Journal]:
    """Opens the journal of a data directory."""
    directory = Path(settings.db_path) if settings.db_path else data_dir / "journal"
    return lambda: Journal.open(directory, map_bytes=settings.journal_bytes_max)


async def open_parts(
    stack: AsyncExitStack,
    data_dir: Path,
    actions: Iterable[Action],
    settings: Settings,
    open_journal: Callable[[], Journal],
) -> Parts:
    """Open everything that a runtime needs, and end what an earlier life has left running.

    Raises:
        OpcodeError: the journal is locked by another runtime, damaged or unreadable.
    """
    clock = Clock.current()
    _make(data_dir)
    journal = await read_off_loop(clock, open_journal)
    stack.callback(journal.close)
    for notice in journal.notices:
        _log.warning("journal", notice=notice)
    children_dir = data_dir / "children"
    _make(children_dir)
    swept = 0 if clock.virtual else await sweep(children_dir)
    vault = await read_off_loop(clock, partial(open_vault, data_dir, _key_file(settings, data_dir)))
    stack.callback(vault.close)
    stack.enter_context(watching_logs(vault.redactor))
    hub = Hub()
    room = Room(journal.pressure, settings.min_free_bytes, settings.journal_bytes_max)
    writer = await stack.enter_async_context(open_journal_writer(journal, hub, room, clock))
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
        room=room,
        hub=hub,
        templates=Templates(journal, hub, registry, settings),
        registry=registry,
        workers=await _open_workers(stack, clock),
        action_settings=_action_settings(settings, data_dir),
        resources=await stack.enter_async_context(open_action_resources()),
        slots=slots,
        breakers=_breakers(settings),
        vault=vault,
        peers=peers,
        wakeups=Wakeups(clock, peers),
        timers=Timers(),
        data_dir=data_dir,
        children_dir=children_dir,
    )
    system = await stack.enter_async_context(open_actor_system(f"opcode {data_dir.name}"))
    workflows = await open_workflows(kit, system)
    peers.bind(workflows)
    return Parts(kit, slots, workflows, swept)


def _make(folder: Path) -> None:
    """Make a folder of ours, unless it is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise OpcodeError(
            ErrorCode.DEGRADED if full else ErrorCode.STORE_ERROR,
            f"cannot make the folder {folder}: {error.strerror}",
            next="free disk space" if full else "check the path and its permissions",
        ) from error


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


def _key_file(settings: Settings, data_dir: Path) -> str | None:
    """The file with the passphrase of the vault."""
    return key_file_of(data_dir, settings.vault_key_file)


def _action_settings(settings: Settings, data_dir: Path) -> ActionSettings:
    limits = settings.limits
    found = ActionSettings(
        data_dir=str(data_dir.resolve()),
        journal_dir=str(Path(settings.db_path).resolve()) if settings.db_path else None,
        vault_key_file=_key_file(settings, data_dir),
        allow_private=settings.allow_private,
        allow_hosts=settings.allow_hosts,
        http_proxy=settings.http_proxy,
        read_only_paths=settings.read_only_paths,
        writable_paths=settings.writable_paths,
        deny_paths=settings.deny_paths,
        body_bytes_max=limits.http_body_bytes_max,
        output_bytes_max=limits.output_bytes_max,
        file_bytes_max=limits.file_bytes_max,
        list_entries_max=limits.list_entries_max,
        tree_entries_max=limits.tree_entries_max,
        copy_bytes_max=limits.copy_bytes_max,
        file_timeout_s=limits.file_timeout_s,
        http=_named(HttpLimits, limits, "http_"),
        isolation=settings.isolation,
        min_isolation=settings.min_isolation,
        cgroup=settings.cgroup,
        shell_network=settings.shell_network,
        shell=_named(ShellLimits, limits, "shell_"),
    )
    check_egress(EgressPolicy(found.allow_private, found.allow_hosts, found.http_proxy))
    return found


def _named(kind: type[_Bounds], limits: Limits, prefix: str) -> _Bounds:
    """Those of the limits whose names begin with `prefix`."""
    return kind(**{name: getattr(limits, prefix + name) for name in kind.__struct_fields__})
