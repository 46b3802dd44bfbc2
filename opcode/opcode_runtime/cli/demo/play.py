"""The demo from beginning to end.

A daemon starts as its own process; an agent connects over SSE, defines a workflow and runs it; the daemon is killed by
SIGKILL while children of two steps are certainly at work; a second daemon starts on the same directory; the agent
repeats its call with the same key and gets the end. Then every claim is checked against journal, ledger and files.
"""

from __future__ import annotations

import signal
from pathlib import Path

import trio

from opcode_runtime.cli.demo.checks import check_all
from opcode_runtime.cli.demo.evidence import Evidence
from opcode_runtime.cli.demo.lives import FirstLife, SecondLife, live_again, live_until_killed
from opcode_runtime.cli.demo.processes import is_alive
from opcode_runtime.cli.demo.service import Service, serve_service
from opcode_runtime.cli.demo.stage import DemoFailedError, Stage, open_stage
from opcode_runtime.cli.demo.story import Narrator, account, tell
from opcode_runtime.cli.exits import CommandError, Exit
from opcode_runtime.cli.render import print_json

DEMO_TIMEOUT_S = 120.0


def run_demo(folder: Path, *, keep: bool, as_json: bool) -> int:
    """Play the demo on the files of `folder` and give the exit code: 0 only if every check holds.

    Raises:
        CommandError: the demo could not be played to its end.
    """
    narrator = Narrator(quiet=as_json)
    with open_stage(folder, keep=keep) as stage:
        seen = _play(stage, narrator)
        if keep:
            narrator.note(f"kept in {stage.root}")
    if isinstance(seen, signal.Signals):
        narrator.note(f"ended by {seen.name}; everything is cleaned up")
        return 128 + seen
    checks = check_all(seen)
    if as_json:
        print_json(account(seen, checks, narrator))
    else:
        tell(seen, checks, narrator)
    return Exit.DONE if all(check.holds for check in checks) else Exit.FAILED


def _play(stage: Stage, narrator: Narrator) -> Evidence | signal.Signals:
    try:
        return trio.run(_interruptible, stage, narrator)
    except Exception as error:  # the boundary to the process: nurseries wrap what goes wrong
        found: BaseException = error
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        if isinstance(found, DemoFailedError):
            raise CommandError(f"The demo failed: {found}.", Exit.FAILED) from None
        if isinstance(found, CommandError):
            raise found from None
        raise


async def _interruptible(stage: Stage, narrator: Narrator) -> Evidence | signal.Signals:
    """Play; SIGINT and SIGTERM end it in good order, so that nothing is left behind."""
    outcome: list[Evidence | signal.Signals] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def wait_for_signal() -> None:
                async for number in signals:
                    outcome.append(signal.Signals(number))
                    nursery.cancel_scope.cancel()
                    return

            nursery.start_soon(wait_for_signal)
            with trio.move_on_after(DEMO_TIMEOUT_S):
                outcome.append(await _two_lives(stage, narrator))
            nursery.cancel_scope.cancel()
    if not outcome:
        raise DemoFailedError(f"it did not end within {DEMO_TIMEOUT_S:g} s")
    return outcome[0]


async def _two_lives(stage: Stage, narrator: Narrator) -> Evidence:
    service = Service()
    async with trio.open_nursery() as nursery:
        service_url = await nursery.start(serve_service, service)
        stage.write_settings(int(service_url.rpartition(":")[2]))
        first = await live_until_killed(stage, service_url, narrator)
        second = await live_again(stage, service_url, narrator)
        seen = await trio.to_thread.run_sync(_collect, stage, service, first, second)
        nursery.cancel_scope.cancel()
    return seen


def _collect(stage: Stage, service: Service, first: FirstLife, second: SecondLife) -> Evidence:
    ledger = stage.ledger_lines()
    digests, shard_digests = stage.hashed()
    pids = {line["pid"] for line in ledger}
    leftovers = [f"process {pid}" for pid in sorted(pids) if is_alive(pid)]
    leftovers += [name for name in ("opcode.pid", "address") if (stage.home / name).exists()]
    return Evidence(
        workflow_id=first.workflow_id,
        killed_at=first.killed_at,
        killed_by=first.killed_by,
        held=first.held,
        before=first.workflow,
        events_before=first.events,
        after=second.workflow,
        events_after=second.events,
        ledger=ledger,
        history=stage.history.read_text().splitlines() if stage.history.exists() else [],
        requests=service.requests,
        report=stage.report.read_text() if stage.report.exists() else "",
        digests=digests,
        expected=stage.rehashed(),
        shard_digests=shard_digests,
        stop_exit_code=second.exit_code,
        leftovers=leftovers,
    )
