"""A process for strace to count in: `python -m bench.traced FOLDER WORKFLOWS` prints the commits of that many."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from bench.workload import chain, open_measured


async def commits(folder: Path, workflows: int) -> int:
    """How many transactions LMDB has committed when they have ended.

    Raises:
        RuntimeError: the writer has counted otherwise.
    """
    async with open_measured(folder) as measured:
        await measured.runtime.define("ten", chain(10, "bench.effect"))
        before, counted = measured.journal.commits(), _counted(measured.runtime)
        await measured.one_by_one("ten", workflows)
        made = measured.journal.commits() - before
        if made != _counted(measured.runtime) - counted:
            raise RuntimeError(f"LMDB has made {made} commits; the writer counts otherwise")
        return measured.journal.commits()


def _counted(runtime: object) -> int:
    statistics = runtime.statistics()  # type: ignore[attr-defined]
    return int(statistics["writer"].commits)


if __name__ == "__main__":
    sys.stdout.write(f"{trio.run(commits, Path(sys.argv[1]), int(sys.argv[2]))}\n")
