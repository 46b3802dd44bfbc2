"""What a client may still spend: one event-sourced account each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.persistence import Decision, EventSourcedActor, Rejected

from .journal import FileJournal

__all__ = ["Account", "AccountRules", "Grant", "Granted", "Spend", "Spent", "decode", "encode"]


@dataclass(frozen=True)
class Grant:
    """Command: let the client have `total` credits in all, counting those it has spent."""

    total: int


@dataclass(frozen=True)
class Spend:
    """Command: pay for one file."""

    file: str


@dataclass(frozen=True)
class Granted:
    """Event: there are so many credits more."""

    amount: int


@dataclass(frozen=True)
class Spent:
    """Event: one credit went for `file`."""

    file: str


@dataclass(frozen=True)
class Credit:
    """State: what was granted and what is spent."""

    granted: int = 0
    spent: int = 0


class AccountRules:
    """decide and evolve of an account. The reply is what is left."""

    def initial(self, _stream: str) -> Credit:
        """Nothing granted, nothing spent."""
        return Credit()

    def decide(self, state: Credit, command: Grant | Spend) -> Decision[Granted | Spent] | Rejected:
        """Refuses to spend what is not there. Granting the same twice changes nothing."""
        left = state.granted - state.spent
        match command:
            case Grant(total) if total <= state.granted:
                return Decision(reply=left)
            case Grant(total):
                more = total - state.granted
                return Decision((Granted(more),), reply=left + more)
            case Spend(file) if left > 0:
                return Decision((Spent(file),), reply=left - 1)
            case Spend():
                return Rejected("no credit left")

    def evolve(self, state: Credit, event: Granted | Spent) -> Credit:
        """Adds up."""
        match event:
            case Granted(amount):
                return Credit(state.granted + amount, state.spent)
            case Spent():
                return Credit(state.granted, state.spent + 1)


class Account(EventSourcedActor[Credit, Grant | Spend, Granted | Spent]):
    """The account of one client. It leaves memory when it is idle; its file stays."""

    idle_s = 0.3

    def __init__(self, client: str, journal: FileJournal[Granted | Spent]) -> None:
        super().__init__(f"account-{client}", AccountRules(), journal)


def encode(event: Granted | Spent) -> Any:
    """An event as a JSON value."""
    match event:
        case Granted(amount):
            return {"granted": amount}
        case Spent(file):
            return {"spent": file}


def decode(value: Any) -> Granted | Spent:
    """The event of a JSON value."""
    return Granted(value["granted"]) if "granted" in value else Spent(value["spent"])
