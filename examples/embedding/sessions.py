"""One session for each client that is there: it pays for a file before it hands it on."""

from __future__ import annotations

from pathlib import Path

from actors import Ref, Registry, TrioActor
from actors.persistence import Rejected

from .accounts import Account, Granted, Spend, Spent
from .journal import FileJournal
from .report import Checked, WaitFor
from .workers import Job, ToDispatcher

__all__ = ["Session"]

ASK_S = 5.0
BEGIN_S = 60.0


class Session(TrioActor[Path, None]):
    """Takes the files of one client. When none has come for a while it goes away."""

    idle_s = 0.3

    def __init__(
        self,
        client: str,
        accounts: Registry[str],
        journal: FileJournal[Granted | Spent],
        dispatcher: Ref[ToDispatcher, None],
        report: Ref[Checked | WaitFor, None],
    ) -> None:
        super().__init__()
        self.client = client
        self.accounts = accounts
        self.journal = journal
        self.dispatcher = dispatcher
        self.report = report

    async def on_receive(self, message: Path) -> None:
        reply = await self.accounts.ask(
            self.client, self.account, Spend(message.name), timeout_s=ASK_S
        )
        if isinstance(reply, Rejected):
            await self.report.atell(Checked(self.client, message.name, None, str(reply.reason)))
        else:
            await self.dispatcher.aask(Job(self.client, message), timeout_s=BEGIN_S)

    def account(self) -> Account:
        """The client's account, should it have to be brought to life."""
        return Account(self.client, self.journal)
