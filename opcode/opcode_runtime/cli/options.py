"""Options that several commands share: which daemon they talk to, and who calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from opcode_runtime.cli.calls import Call
    from opcode_runtime.cli.client import Target

FLAG = Parameter(negative="")
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
CLI_AGENT = "cli"


@Parameter(name="*")
@dataclass(frozen=True)
class Daemon:
    """Which daemon a command talks to, and how its answer is printed."""

    data_dir: Path | None = None
    "Data directory of the daemon (default: OPCODE_HOME, else ~/.opcode)."
    url: str | None = None
    "Base URL of the daemon, when the data directory does not tell."
    token: str | None = None
    "Token, when the data directory does not tell."
    json: Annotated[bool, FLAG] = False
    "Print JSON."

    def ask(self, call: Call) -> dict[str, Any]:
        """Make one tool call on that daemon."""
        from opcode_runtime.cli.calls import perform

        return perform(self.target(), call)

    def target(self) -> Target:
        """Find that daemon."""
        from opcode_runtime.cli.client import find_daemon
        from opcode_runtime.cli.settings import data_dir_of

        return find_daemon(data_dir_of(self.data_dir), url=self.url, token=self.token)


_LOCAL = Daemon()


@Parameter(name="*")
@dataclass(frozen=True)
class Caller:
    """Who calls, and whether a repeated call is the same one."""

    agent_id: str = CLI_AGENT
    "Who acts."
    agent_type: Literal["llm", "human", "system", "service"] | None = None
    "What that is (default: a human for `cli`, else what is known, else llm)."
    idempotency_key: str | None = None
    "The same key with the same arguments acts once."

    def as_arguments(self) -> dict[str, Any]:
        """The arguments of a tool call that say who calls."""
        kind = self.agent_type or ("human" if self.agent_id == CLI_AGENT else None)
        key = self.idempotency_key
        return {"agent_id": self.agent_id, "agent_type": kind, "idempotency_key": key}


LOCAL = Daemon()
THE_CLI = Caller()
