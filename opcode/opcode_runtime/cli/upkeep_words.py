"""`opcode prune` and `opcode doctor`: what an operator does from time to time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from opcode_runtime.cli.data_dir import ADDRESS_FILE, PID_FILE, address_of
from opcode_runtime.cli.exits import Exit, usage_error
from opcode_runtime.cli.journal_place import HERE, Place, shown
from opcode_runtime.cli.options import FLAG

_ANSWER_TIMEOUT_S = 3.0


def prune(
    *,
    older_than: str | None = None,
    keep: int | None = None,
    dry_run: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Remove workflows that have ended, with all their events. The daemon must be stopped.

    Arguments:
        older_than: Those that ended longer ago than this, such as 720h.
        keep: All but the newest so many.
        dry_run: Only say which.
    """
    import msgspec

    from opcode_runtime import upkeep
    from opcode_runtime.cli import render
    from opcode_runtime.cli.journal_answers import count

    if older_than is None and keep is None:
        raise usage_error(
            "It was not said what to prune.",
            next="Give --older-than, such as 720h, or --keep with a number, or both.",
        )
    if keep is not None and keep < 0:
        raise usage_error("--keep wants a number, 0 or more.")
    older_than_s = None if older_than is None else _duration_s(older_than)
    _refuse_missing(place.journal())
    with place.stopped() as journal, shown("pruning", quiet=place.json) as progress:
        done = upkeep.prune(
            journal, older_than_s=older_than_s, keep=keep, dry=dry_run, progress=progress
        )
    if place.json:
        render.print_json(msgspec.to_builtins(done))
    elif dry_run:
        for each in done.workflows:
            render.print_line(each)
        render.print_line(f"{count(len(done.workflows), 'workflow')} would be removed.")
    else:
        gone = f"{count(len(done.workflows), 'workflow')}, {count(done.events, 'event')}"
        render.print_line(f"{gone} removed.")
    return Exit.DONE


def _refuse_missing(journal: Path) -> None:
    """There is nothing to prune where no journal is; none is to be made there."""
    try:
        if (journal / "data").is_dir():
            return
    except PermissionError:
        return  # the opening says which
    raise usage_error(
        f"There is no journal in {journal}.",
        next="Name the data directory of a daemon with --data-dir or OPCODE_HOME.",
    )


def _duration_s(text: str) -> float:
    from opcode_runtime.model.durations import parse_duration_s

    try:
        return parse_duration_s(text)
    except ValueError as error:
        raise usage_error(f"--older-than: {error}.", next="Such as 720h or 30m.") from None


def doctor(*, place: Place = HERE) -> int:
    """Look at the data directory, its file system and space, the clock, the vault, the daemon, and what was left."""
    import msgspec

    from opcode_runtime import upkeep
    from opcode_runtime.cli import journal_answers, render
    from opcode_runtime.cli.settings import load_settings

    home = place.home()
    checks = upkeep.examine(home, place.journal(), load_settings(home))
    found = [*(msgspec.to_builtins(each) for each in checks), _daemon(home)]
    answer = {"healthy": all(each["state"] != "problem" for each in found), "checks": found}
    (render.print_json if place.json else journal_answers.print_checks)(answer)
    return Exit.DONE if answer["healthy"] else Exit.FAILED


def _daemon(home: Path) -> dict[str, Any]:
    """Whether a daemon runs and answers; files of one that was killed are stale, and do no harm."""
    url = address_of(home)
    if url is None:
        stale = [name for name in (PID_FILE, ADDRESS_FILE) if (home / name).exists()]
        if not stale or _starts(home):
            return {"name": "daemon", "state": "ok", "found": "none runs here, or it is starting"}
        return {
            "name": "daemon",
            "state": "warning",
            "found": f"none runs here; {' and '.join(stale)} are of one that was killed",
            "next": "opcode serve starts it again, and takes up its workflows",
        }
    status = _healthz(url)
    if status == 200:
        return {"name": "daemon", "state": "ok", "found": f"answers at {url}"}
    what = "does not answer" if status is None else f"answers with HTTP {status}"
    return {
        "name": "daemon",
        "state": "problem",
        "found": f"process {(home / PID_FILE).read_text().strip()} is there, and {what} at {url}",
        "next": "look at its log; stop it with SIGTERM and start it again: no workflow is lost",
    }


def _starts(home: Path) -> bool:
    """Whether the process of the pid file lives, and has only not published its address yet."""
    try:
        os.kill(int((home / PID_FILE).read_text("ascii")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _healthz(url: str) -> int | None:
    import httpx2

    try:
        with httpx2.Client(timeout=_ANSWER_TIMEOUT_S, trust_env=False) as client:
            return int(client.get(f"{url}/healthz").status_code)
    except httpx2.HTTPError:
        return None
