"""A dispatcher that hands out jobs at a limited rate, and the workers that do them.

Workers come to the dispatcher, it does not look for them: one that was restarted is a new worker that comes like any
other. A worker that ends with a job in hand has failed that job, which is why the dispatcher watches it. A job that
cannot begin yet is stashed; whoever asked to have it done waits that long, so nobody can hand in faster than files are
read.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import trio

from actors import Ref, TrioActor

from .report import Checked, WaitFor

__all__ = ["Dispatcher", "Ended", "Idle", "Job", "Tick", "ToDispatcher", "Worker"]


@dataclass(frozen=True)
class Job:
    """A file to be read for a client. The reply comes when it begins."""

    client: str
    path: Path


@dataclass(frozen=True)
class Idle:
    """`worker` wants a job; `digest` is what came of the one before."""

    worker: Ref[Job, None]
    digest: str | None = None


@dataclass(frozen=True)
class Ended:
    """`worker` is over."""

    worker: Ref[Job, None]
    reason: BaseException | None


@dataclass(frozen=True)
class Tick:
    """The next job may begin."""


ToDispatcher = Job | Idle | Ended | Tick


class Dispatcher(TrioActor[ToDispatcher, None]):
    """Gives idle workers jobs, at most `jobs_per_s` in a second."""

    stash_size_max = 100

    def __init__(self, report: Ref[Checked | WaitFor, None], jobs_per_s: float) -> None:
        super().__init__()
        self.report = report
        self.jobs_per_s = jobs_per_s
        self.idle: deque[Ref[Job, None]] = deque()
        self.in_hand: dict[Ref[Job, None], Job] = {}

    async def on_receive(self, message: ToDispatcher) -> None:
        match message:
            case Job() if not self.idle or "pace" in self.timers:
                self.stash(message)
            case Job():
                self.begin(message)
            case Idle(worker, digest):
                await self.finish(worker, digest)
                self.unstash_all()
            case Ended(worker, reason):
                await self.lose(worker, reason)
            case Tick():
                self.unstash_all()

    def begin(self, job: Job) -> None:
        """Give the job to a worker; the next one may begin a little later."""
        worker = self.idle.popleft()
        self.in_hand[worker] = job
        worker.tell(job)
        self.timers.start("pace", 1 / self.jobs_per_s, Tick())

    async def finish(self, worker: Ref[Job, None], digest: str | None) -> None:
        """A worker is free, for the first time or after a job."""
        job = self.in_hand.pop(worker, None)
        if job is None:
            worker.monitor(lambda _, reason: self.hear_of_end(worker, reason))
        else:
            await self.report.atell(Checked(job.client, job.path.name, digest))
        self.idle.append(worker)

    def hear_of_end(self, worker: Ref[Job, None], reason: BaseException | None) -> None:
        """Called in the loop when a worker has ended; what follows is a message like any other."""
        if self.actor_ref.is_alive():
            self.actor_ref.tell_system(Ended(worker, reason))

    async def lose(self, worker: Ref[Job, None], reason: BaseException | None) -> None:
        """A worker is gone, and with it the job it had."""
        if worker in self.idle:
            self.idle.remove(worker)
        job = self.in_hand.pop(worker, None)
        if job is not None:
            why = type(reason).__name__ if reason else "stopped"
            await self.report.atell(Checked(job.client, job.path.name, None, why))


class Worker(TrioActor[Job, None]):
    """Reads files. Whatever is wrong with a file is its failure: the supervisor has it replaced."""

    mailbox_size_max = 1
    chunk_bytes = 65_536

    def __init__(self, dispatcher: Ref[ToDispatcher, None]) -> None:
        super().__init__()
        self.dispatcher = dispatcher

    async def on_start(self) -> None:
        await self.dispatcher.atell(Idle(self.actor_ref))

    async def on_receive(self, message: Job) -> None:
        digest = hashlib.sha256()
        async with await trio.open_file(message.path, "rb") as file:
            while chunk := await file.read(self.chunk_bytes):
                digest.update(chunk)
        await self.dispatcher.atell(Idle(self.actor_ref, digest.hexdigest()[:12]))
