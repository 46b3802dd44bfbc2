"""`python -m embedding`: makes a few files, has them checked, and ends. `--jobs-per-s 1` leaves time for Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

import trio

from .service import Service, open_service

POEMS = 6


def make_files(folder: Path) -> list[Path]:
    """Poems, and a name behind which there is no file."""
    paths = [folder / f"poem-{number}.txt" for number in range(1, POEMS + 1)]
    for number, path in enumerate(paths, 1):
        path.write_text("A rose is a rose.\n" * number)
    return [*paths, folder / "lost.txt"]


async def watch_signals(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Turn the first Ctrl-C or SIGTERM into a cancellation, which stops the actors in order."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            print(f"stopping on {signal.Signals(number).name}", flush=True)
            scope.cancel()


async def use(service: Service, files: list[Path]) -> None:
    """What clients do: Ada has credit for everything, Ben for three files."""
    await service.grant("ada", 10)
    await service.grant("ben", 3)
    for path in files:
        await service.hand_in("ada", path)
        await service.hand_in("ben", path)
    await service.wait_for(2 * len(files))
    session = service.sessions.get("ada")
    if session is not None:
        await session.wait_stopped()
    await service.hand_in("ada", files[0])
    await service.wait_for(2 * len(files) + 1)
    print("ada has", await service.grant("ada", 10), "credits left", flush=True)


async def main(folder: Path, state: Path, jobs_per_s: float) -> int:
    """Run the service; the exit code says whether it came to its end or was stopped."""
    done = False
    async with trio.open_nursery() as nursery:
        await nursery.start(watch_signals, nursery.cancel_scope)
        async with open_service(state, jobs_per_s) as service:
            await use(service, make_files(folder))
            done = True
        nursery.cancel_scope.cancel()
    print("nothing is left", flush=True)
    return 0 if done else 130


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="embedding")
    parser.add_argument("--jobs-per-s", type=float, default=40.0)
    parser.add_argument("--state", type=Path, help="folder of the accounts (default: a new one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        where = options.state or Path(name)
        sys.exit(trio.run(main, Path(name), where, options.jobs_per_s))
