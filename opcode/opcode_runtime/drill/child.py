"""The process of a real cut; run by real.py as `python -m opcode_runtime.drill.child ORDER.json`.

It lives one life as its order says and prints what went wrong as JSON. With `kill` in the order it dies at that commit.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from opcode_runtime.drill.clocks import hurrying_clock
from opcode_runtime.drill.life import Plan, Scene, perform
from opcode_runtime.drill.report import Kind
from opcode_runtime.drill.silence import silence
from opcode_runtime.drill.stand_ins import StandIns
from opcode_runtime.drill.subject import Subject
from opcode_runtime.model.settings import Settings

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def main(paper: Path) -> int:
    """Live as ordered; 1 when something went wrong."""
    order: dict[str, Any] = json.loads(paper.read_text("utf-8"))
    _end_with(order["drill_pid"])
    scene = Scene(
        subject=msgspec.convert(order["subject"], Subject),
        settings=msgspec.convert(order["settings"], Settings),
        stand_ins=msgspec.convert(order["stand_ins"], StandIns),
        payloads=order["payloads"],
        cwd=order["cwd"],
    )
    plan = Plan(Path(order["data_dir"]), deadline=time.monotonic() + order["limit_s"])
    if "kill" in order:
        _arm(plan, Kind(order["kill"][0]), int(order["kill"][1]))
    with silence():
        lived = perform(scene, plan, hurrying_clock() if order["hurried"] else None)
    sys.stdout.write(json.dumps({"problems": lived.problems, "doubled": lived.doubled}))
    return 0


def _end_with(drill_pid: int) -> None:
    """End with the drill, so that no effects go on of which nobody hears."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != drill_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _arm(plan: Plan, kind: Kind, commit: int) -> None:
    """Die at a commit, as nobody can refuse to."""

    def die(number: int) -> None:
        if number == commit:
            os.kill(os.getpid(), signal.SIGKILL)

    if kind is Kind.BEFORE:
        plan.before = die
    else:
        plan.after = die


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
