"""What every workflow actor needs, gathered once when the runtime opens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.persistence import EventJournal, RecoveryPermits
from opcode_runtime.actions import ActionResources, ActionSettings, Registry
from opcode_runtime.engine.breakers import Breakers
from opcode_runtime.engine.clock import Clock
from opcode_runtime.engine.compiled import Loaded
from opcode_runtime.engine.expression_workers import Workers
from opcode_runtime.engine.hub import Hub
from opcode_runtime.engine.journal_writer import JournalWriter
from opcode_runtime.engine.room import Room
from opcode_runtime.engine.templates import Templates
from opcode_runtime.engine.timers import Timers
from opcode_runtime.model.commands import AnyCommand, Decision
from opcode_runtime.model.events import AnyEvent
from opcode_runtime.model.settings import Settings
from opcode_runtime.secrets import Vault
from opcode_runtime.storage import Journal

if TYPE_CHECKING:
    from opcode_runtime.engine.wakeups import Wakeups


class Slots(Protocol):
    """What a step with an effect outside holds while it runs."""

    async def acquire_on_behalf_of(self, borrower: object) -> None: ...

    def acquire_on_behalf_of_nowait(self, borrower: object) -> None: ...

    def release_on_behalf_of(self, borrower: object) -> None: ...


class Commander(Protocol):
    """Whoever finds or brings to life the actor of a workflow, and gives it a command."""

    async def command(
        self, workflow_id: str, command: AnyCommand, *, fresh: Loaded | None = None
    ) -> Decision: ...


class Peers:
    """The other workflows, as one of them reaches them. Bound once, when the runtime opens."""

    def __init__(self) -> None:
        self._commander: Commander | None = None

    def bind(self, commander: Commander) -> None:
        """From now on commands go there."""
        self._commander = commander

    async def command(
        self, workflow_id: str, command: AnyCommand, *, fresh: Loaded | None = None
    ) -> Decision:
        """Give a command to a workflow; as `Workflows.command`."""
        assert self._commander is not None
        return await self._commander.command(workflow_id, command, fresh=fresh)


@dataclass(frozen=True, slots=True)
class Kit:
    """The shared parts of one runtime.

    `streams` is the journal as workflow actors know it; `permits` bounds how many of them read it at once.
    """

    settings: Settings
    clock: Clock
    journal: Journal
    writer: JournalWriter
    streams: EventJournal[AnyEvent]
    permits: RecoveryPermits
    room: Room
    hub: Hub
    templates: Templates
    registry: Registry
    workers: Workers
    action_settings: ActionSettings
    resources: ActionResources
    slots: Slots
    breakers: Breakers
    vault: Vault
    peers: Peers
    wakeups: Wakeups
    timers: Timers
    data_dir: Path
    children_dir: Path
