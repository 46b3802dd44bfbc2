"""An account whose balance is the sum of what was written down."""

from dataclasses import dataclass

import trio

from actors import open_actor_system
from actors.persistence import Decision, EventSourcedActor, InMemoryJournal, Rejected


@dataclass(frozen=True)
class Deposit:
    amount: int


@dataclass(frozen=True)
class Withdraw:
    amount: int


@dataclass(frozen=True)
class Deposited:
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    amount: int


Command = Deposit | Withdraw
Event = Deposited | Withdrawn


class AccountRules:
    """Pure: no clock, no chance, no I/O. The same events give the same balance, always."""

    def initial(self, _stream: str) -> int:
        return 0

    def decide(self, state: int, command: Command) -> Decision[Event] | Rejected:
        match command:
            case Deposit(amount):
                return Decision((Deposited(amount),), reply=state + amount)
            case Withdraw(amount) if amount > state:
                return Rejected(f"only {state} left")
            case Withdraw(amount):
                return Decision((Withdrawn(amount),), reply=state - amount)

    def evolve(self, state: int, event: Event) -> int:
        match event:
            case Deposited(amount):
                return state + amount
            case Withdrawn(amount):
                return state - amount


async def main() -> None:
    journal: InMemoryJournal[Event] = InMemoryJournal()

    def account() -> EventSourcedActor[int, Command, Event]:
        return EventSourcedActor("account-7", AccountRules(), journal)

    async with open_actor_system() as system:
        ref = await system.spawn(account, name="account-7")
        print(await ref.aask(Deposit(10), timeout_s=1))
        print(await ref.aask(Withdraw(3), timeout_s=1))
        print(await ref.aask(Withdraw(8), timeout_s=1))

    async with open_actor_system() as system:
        ref = await system.spawn(account, name="account-7")
        print("after a restart:", await ref.aask(Deposit(0), timeout_s=1))


trio.run(main)
