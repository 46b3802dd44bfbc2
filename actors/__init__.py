"""Actors on trio, with pykka's vocabulary and Erlang/OTP's supervision.

An actor handles one message at a time in a trio task of its own. Others hold refs: they tell it things, ask
it with a deadline, watch it end. Supervisors restart what fails and stop everything in order. It all lives
inside `async with open_actor_system()`, in the caller's own task tree, and nothing is global.

    class Counter(TrioActor[int, int]):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        async def on_receive(self, message: int) -> int:
            self.count += message
            return self.count

    async with open_actor_system() as system:
        counter = await system.spawn(Counter, name="counter")
        counter.tell(1)
        assert await counter.aask(2, timeout_s=1) == 3

A ref stands for one incarnation. After a restart `system.child(name)` has the new one.
"""

from pykka import ActorDeadError

from ._actor import TrioActor
from ._child import ChildSpec
from ._errors import (
    ActorAbandoned,
    ActorCancelled,
    ActorError,
    ActorNameTaken,
    ActorStartError,
    AlreadyReplied,
    AskedSelf,
    AskTimeout,
    BlockingCallInLoop,
    MailboxFull,
    RestartIntensityExceeded,
    StashFull,
)
from ._future import TrioFuture
from ._mailbox import Envelope, Mailbox, MailboxStatistics, OnFull
from ._observer import Observer
from ._ref import ActorStatistics, Ref, TrioActorRef
from ._registry import Registry, RegistryStatistics
from ._restart import (
    BackOff,
    ExitKind,
    Intensity,
    RestartAction,
    RestartDecision,
    RestartStrategy,
    RestartType,
    affected_children,
    decide_restart,
    exit_kind,
)
from ._stash import StashStatistics
from ._supervision import GiveUpHook, SupervisorPolicy
from ._supervisor import Supervisor, SupervisorStatistics
from ._system import ActorSystem, open_actor_system
from ._timers import ActorTimers, TimerStatistics

__all__ = [
    "ActorAbandoned",
    "ActorCancelled",
    "ActorDeadError",
    "ActorError",
    "ActorNameTaken",
    "ActorStartError",
    "ActorStatistics",
    "ActorSystem",
    "ActorTimers",
    "AlreadyReplied",
    "AskTimeout",
    "AskedSelf",
    "BackOff",
    "BlockingCallInLoop",
    "ChildSpec",
    "Envelope",
    "ExitKind",
    "GiveUpHook",
    "Intensity",
    "Mailbox",
    "MailboxFull",
    "MailboxStatistics",
    "Observer",
    "OnFull",
    "Ref",
    "Registry",
    "RegistryStatistics",
    "RestartAction",
    "RestartDecision",
    "RestartIntensityExceeded",
    "RestartStrategy",
    "RestartType",
    "StashFull",
    "StashStatistics",
    "Supervisor",
    "SupervisorPolicy",
    "SupervisorStatistics",
    "TimerStatistics",
    "TrioActor",
    "TrioActorRef",
    "TrioFuture",
    "affected_children",
    "decide_restart",
    "exit_kind",
    "open_actor_system",
]
