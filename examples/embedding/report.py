"""Where results go: printed as they come, and counted."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from actors import TrioActor

__all__ = ["Checked", "Report", "WaitFor"]


@dataclass(frozen=True)
class Checked:
    """What became of a file: its checksum, or why there is none."""

    client: str
    file: str
    digest: str | None
    why: str = ""


@dataclass(frozen=True)
class WaitFor:
    """Set `event` once `results` results have come in all."""

    results: int
    event: trio.Event


class Report(TrioActor[Checked | WaitFor, None]):
    """Knows every result there was."""

    def __init__(self) -> None:
        super().__init__()
        self.checked: list[Checked] = []
        self.waiting: list[WaitFor] = []

    async def on_receive(self, message: Checked | WaitFor) -> None:
        match message:
            case Checked(client, file, digest, why):
                self.checked.append(message)
                print(f"{client}: {file} {digest or why}", flush=True)
            case WaitFor():
                self.waiting.append(message)
        for each in self.waiting:
            if len(self.checked) >= each.results:
                each.event.set()

    async def on_stop(self) -> None:
        good = sum(each.digest is not None for each in self.checked)
        print(f"report: {good} of {len(self.checked)} files have a checksum", flush=True)
