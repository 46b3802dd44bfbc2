"""An account, the example of these tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.persistence import Decision, EventJournal, EventSourcedActor, Rejected

__all__ = ["Account", "AccountActor", "Add", "Added", "maker"]


@dataclass(frozen=True)
class Add:
    """Command: put `amount` on the account, in one event or in `parts`."""

    amount: Any
    parts: int = 1


@dataclass(frozen=True)
class Added:
    """Event."""

    amount: Any


class Account:
    """The balance and how often it changed. Asks for the balance are commands without events."""

    def initial(self, stream: str) -> tuple[int, int]:
        return (0, 0)

    def decide(self, state: tuple[int, int], command: Add | str) -> Decision[Added] | Rejected:
        match command:
            case Add(int(amount)) if state[0] + amount < 0:
                return Rejected("not enough")
            case Add(amount, parts):
                return Decision((Added(amount),) * parts, reply=("added", amount))
            case "balance":
                return Decision(reply=state)
        raise ValueError(f"no such command: {command}")

    def evolve(self, state: tuple[int, int], event: Added) -> tuple[int, int]:
        return (state[0] + event.amount, state[1] + 1)


class AccountActor(EventSourcedActor[tuple[int, int], Add | str, Added]):
    """Writes down every state it lets out, and fails there when it is told to."""

    def __init__(self, journal: EventJournal[Added], stream: str = "a", **more: Any) -> None:
        super().__init__(stream, Account(), journal, **more)
        self.committed: list[tuple[int, int]] = []
        self.fail_at: int | None = None

    async def on_committed(self) -> None:
        self.committed.append(self.state)
        if len(self.committed) == self.fail_at:
            raise RuntimeError("an effect that cannot be started")


class maker:  # noqa: N801 - used like a function
    """A factory that keeps what it made."""

    def __init__(self, journal: EventJournal[Added], stream: str = "a", **more: Any) -> None:
        self.args = (journal, stream)
        self.more = more
        self.made: list[AccountActor] = []

    def __call__(self) -> AccountActor:
        self.made.append(AccountActor(*self.args, **self.more))
        return self.made[-1]
