"""The supervision tree, and the few calls that the rest of the program makes.

The root is rest_for_one: what was started later uses what was started earlier, so it is restarted with it, and stopped
before it. A ref stands for one incarnation, therefore the factories look theirs up each time they make an actor.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from actors import (
    ActorDeadError,
    ActorSystem,
    BackOff,
    Intensity,
    Ref,
    Registry,
    SupervisorPolicy,
    open_actor_system,
)

from .accounts import Account, Grant, Granted, Spent, decode, encode
from .journal import FileJournal
from .report import Report, WaitFor
from .sessions import Session
from .workers import Dispatcher, Worker

__all__ = ["Service", "open_service"]

WORKERS = 3
ASK_S = 5.0


class Log:
    """An observer that prints who comes and goes."""

    def started(self, ref: Ref[Any, Any]) -> None:
        """An actor runs."""
        print(f"+ {ref.name}", flush=True)

    def stopped(self, ref: Ref[Any, Any], reason: BaseException | None) -> None:
        """An actor is over."""
        print(f"- {ref.name}" + (f" ({type(reason).__name__})" if reason else ""), flush=True)

    def restarted(self, name: str, restarts: int) -> None:
        """A supervisor starts a successor."""
        print(f"restart {restarts} of {name}", flush=True)

    def handled(self, ref: Ref[Any, Any], message: object, took_s: float) -> None:
        """A message was handled; here is where metrics would be kept."""


class Service:
    """What the program sees of the actors."""

    def __init__(self, system: ActorSystem, journal: FileJournal[Granted | Spent]) -> None:
        self.system = system
        self.journal = journal
        self.sessions: Registry[str]
        self.accounts: Registry[str]

    async def start(self, jobs_per_s: float) -> None:
        """Build the tree, from what is used to what uses it."""
        system = self.system
        await system.spawn(Report, name="report")
        accounts = await system.supervisor("accounts")
        self.accounts = Registry(accounts, name_of=lambda client: f"account of {client}")
        await system.spawn(
            lambda: Dispatcher(self.present("report"), jobs_per_s), name="dispatcher"
        )
        patient = SupervisorPolicy(intensity=Intensity(10, within_s=60), back_off=BackOff(0.05))
        workers = await system.supervisor("workers", policy=patient)
        for number in range(1, WORKERS + 1):
            await workers.spawn(lambda: Worker(self.present("dispatcher")), name=f"worker {number}")
        sessions = await system.supervisor("sessions")
        self.sessions = Registry(
            sessions, shutdown_s=1.0, name_of=lambda client: f"session of {client}"
        )

    def present(self, name: str) -> Ref[Any, Any]:
        """The incarnation of a child of the root that runs now."""
        ref = self.system.child(name)
        if ref is None:
            raise ActorDeadError(f"{name} is not running")
        return ref

    async def grant(self, client: str, total: int) -> int:
        """Let a client have `total` credits in all; returns what is left of them."""
        left: int = await self.accounts.ask(
            client, lambda: Account(client, self.journal), Grant(total), timeout_s=ASK_S
        )
        return left

    async def hand_in(self, client: str, path: Path) -> None:
        """Have a file checked for a client; the result goes to the report."""
        await self.sessions.tell(client, lambda: self.session(client), path)

    def session(self, client: str) -> Session:
        """A new session."""
        report, dispatcher = self.present("report"), self.present("dispatcher")
        return Session(client, self.accounts, self.journal, dispatcher, report)

    async def wait_for(self, results: int) -> None:
        """Wait until there have been so many results."""
        event = trio.Event()
        self.present("report").tell(WaitFor(results, event))
        await event.wait()


@asynccontextmanager
async def open_service(state: Path, jobs_per_s: float) -> AsyncIterator[Service]:
    """Run the service for the length of the block; its accounts are kept in the folder `state`."""
    policy = SupervisorPolicy(strategy="rest_for_one")
    async with open_actor_system(
        "checksums", policy=policy, observer=Log(), shutdown_s=10
    ) as system:
        service = Service(system, FileJournal(state, encode, decode))
        await service.start(jobs_per_s)
        yield service
