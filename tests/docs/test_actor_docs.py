"""The pages of the actor library are true: their programs are files that run, their tables are drawn from the code.

The example app is run twice: from the wheel, by an interpreter that sees nothing of this checkout, and as a process
that is interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors import (
    ActorAbandoned,
    ActorCancelled,
    ActorDeadError,
    AskTimeout,
    RestartIntensityExceeded,
    TrioActor,
    open_actor_system,
)
from examples.embedding.test_journal import TestFileJournal as _TestFileJournal

from .blocks import ROOT


def load(path: Path) -> ModuleType:
    """A program as a module. By its path: these tests are in a package `docs` themselves."""
    spec = spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load(ROOT / "docs" / "actors" / "generate.py")
PAGES = sorted((ROOT / "docs" / "actors").glob("*.md"))
EXAMPLES = ROOT / "examples"
ANSWER_S = 60.0
CHECK_S = 240.0


class TestFileJournal(_TestFileJournal):
    """The journal of the example app keeps the rules of journals."""


# ---------------------------------------------------------------------- pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_holds_the_files_and_tables_that_it_names(page: Path) -> None:
    text = page.read_text("utf-8")
    assert generate.filled(text) == text, "write it with: python docs/actors/generate.py"


SHOWN = {
    file: text for page in PAGES for file, text in generate.outputs(page.read_text("utf-8")).items()
}


@pytest.mark.parametrize("file", SHOWN)
def test_a_program_prints_what_its_page_says(file: str) -> None:
    assert generate.printed_by(file) == SHOWN[file]


def test_every_example_is_on_a_page() -> None:
    shown = {file for page in PAGES for file in generate.programs(page.read_text("utf-8"))}
    there = {f"examples/actors/{path.name}" for path in (EXAMPLES / "actors").glob("*.py")}
    assert shown == there


def test_every_table_is_on_the_page_on_supervision() -> None:
    text = (ROOT / "docs" / "actors" / "supervision.md").read_text("utf-8")
    assert all(f"<!-- made: {name} -->" in text for name in generate.TABLES)


def test_a_page_that_differs_from_its_file_or_from_the_code_is_noticed() -> None:
    page = (ROOT / "docs" / "actors" / "supervision.md").read_text("utf-8")
    for there in ("import random", "is given up |", "c, b stop; b, c start"):
        assert there in page
        assert generate.filled(page.replace(there, "something else")) == page


# ---------------------------------------------------------------------- types


CHECKED = ["examples", "docs/actors/generate.py"]


def check(*command: str) -> str:
    """Run a program in the checkout, which must find nothing to complain of; gives what it says."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CHECK_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> int:
    """How many files there are to be checked."""
    return len([*EXAMPLES.rglob("*.py")]) + 1


def test_mypy_finds_nothing_in_the_examples(tmp_path: Path) -> None:
    said = check("mypy", "--cache-dir", str(tmp_path), *CHECKED)
    assert said == f"Success: no issues found in {sources()} source files\n"


def test_pyright_finds_nothing_in_the_examples() -> None:
    summary = json.loads(check("pyright", "--outputjson", *CHECKED))["summary"]
    assert summary["filesAnalyzed"] == sources()
    assert summary["warningCount"] == 0


# ------------------------------------------------------------ the example app

FILES = [f"poem-{number}.txt" for number in range(1, 7)]
ROOT_CHILDREN = ["report", "accounts", "dispatcher", "workers", "sessions"]


def only(lines: Sequence[str], *starts: str) -> list[str]:
    """The lines that begin with one of these."""
    return [line for line in lines if line.startswith(starts)]


def assert_it_did_its_work(lines: Sequence[str]) -> None:
    """What the app says when it was left alone."""
    results = only(lines, "ada: ", "ben: ")
    digests = {line.split()[1]: line.split()[2] for line in results if len(line.split()[2]) == 12}
    assert set(digests) == set(FILES)
    assert only(results, "ada: lost.txt") == ["ada: lost.txt FileNotFoundError"]
    assert len([line for line in results if "no credit left" in line]) == 4
    assert len(results) == 15
    assert any("restart 1 of worker" in line for line in lines)
    assert lines.count("+ session of ada") >= 2
    assert lines[-1] == "nothing is left"
    assert "ada has 2 credits left" in lines
    assert "report: 10 of 15 files have a checksum" in lines
    assert_it_stopped_in_order(lines)


def assert_it_stopped_in_order(lines: Sequence[str]) -> None:
    """Whatever was started has stopped, and those that others use stopped after them."""
    names = [line[2:].partition(" (")[0] for line in only(lines, "- ")]
    started = [line[2:] for line in only(lines, "+ ")]
    assert sorted(names) == sorted(started)
    assert [name for name in names if name in ROOT_CHILDREN] == ROOT_CHILDREN[::-1]
    assert names[-1] == "checksums"
    last_workers = [name for name in names if name.startswith("worker ")][-3:]
    assert last_workers == ["worker 3", "worker 2", "worker 1"]
    assert names.index("workers") > max(i for i, n in enumerate(names) if n in last_workers)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder into which the wheel of this checkout was unpacked."""
    dist, folder = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("target")
    check("hatchling", "build", "-t", "wheel", "-d", str(dist))
    [wheel] = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


FROM_WHEEL = """
import json, runpy, sys
sys.path[:0] = {first!r}
sys.path += {last!r}
try:
    runpy.run_module("embedding", run_name="__main__", alter_sys=True)
except SystemExit as end:
    code = end.code
import actors
print(json.dumps({{"code": code, "actors": actors.__file__, "modules": sorted(sys.modules)}}))
"""


def test_the_example_app_runs_on_the_unpacked_wheel_with_nothing_of_the_runtime(
    target: Path, tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLES / "embedding", tmp_path / "embedding")
    text = FROM_WHEEL.format(
        first=[str(target), str(tmp_path)], last=[sysconfig.get_path("purelib")]
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    said: dict[str, Any] = json.loads(last)
    assert said["code"] == 0
    assert Path(said["actors"]).is_relative_to(target)
    imported = {name.partition(".")[0] for name in said["modules"]}
    assert {"actors", "trio", "pykka"} <= imported
    assert "opcode_runtime" not in imported
    assert_it_did_its_work(lines)


@contextmanager
def app(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The app as a process that keeps its files in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "embedding", *arguments],
        cwd=EXAMPLES,
        env=os.environ | {"TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], start: str) -> list[str]:
    """Lines of the process up to the first that begins so."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if line.startswith(start):
            return lines
    raise AssertionError(f"it ended without {start!r}: {lines}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_stops_the_example_app_in_order_and_nothing_is_left(
    number: signal.Signals, tmp_path: Path
) -> None:
    temporary, state = tmp_path / "temporary", tmp_path / "state"
    temporary.mkdir()
    state.mkdir()
    with app(temporary, "--jobs-per-s", "2", "--state", str(state)) as process:
        lines = read_until(process, "ada: poem-")
        process.send_signal(number)
        rest, complaints = process.communicate(timeout=ANSWER_S)
        lines += rest.splitlines()
        assert process.returncode == 130, complaints
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert f"stopping on {number.name}" in lines
    assert lines[-1] == "nothing is left"
    assert_it_stopped_in_order(lines)
    assert "Traceback" not in complaints
    assert list(temporary.iterdir()) == []
    spent = (state / "account-ada.jsonl").read_text().count("spent")
    assert spent >= 1
    with app(temporary, "--jobs-per-s", "100", "--state", str(state)) as process:
        rest, complaints = process.communicate(timeout=ANSWER_S)
        assert process.returncode == 0, complaints
    assert f"ada has {max(0, 2 - spent)} credits left" in rest.splitlines()


INTERRUPTED = """
import signal
import trio
from actors import TrioActor, open_actor_system

class Store(TrioActor):
    async def on_receive(self, message):
        signal.raise_signal(signal.SIGINT)
    async def on_stop(self):
        await trio.sleep(0.01)
        print("closed", flush=True)

async def main():
    async with open_actor_system() as system:
        store = await system.spawn(Store, name="store")
        store.monitor(lambda ref, reason: print("over", type(reason).__name__, flush=True))
        print("up", flush=True)
        {then}
        await trio.sleep_forever()

try:
    trio.run(main)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def program(text: str) -> Iterator[subprocess.Popen[str]]:
    """A program as a process."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", text], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_an_interrupt_while_all_wait_leaves_the_block_in_order() -> None:
    with program(INTERRUPTED.format(then="pass")) as process:
        read_until(process, "up")
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=ANSWER_S)
    assert said.splitlines() == ["closed", "over NoneType", "interrupted"]


def test_an_interrupt_inside_a_handler_cancels_all_actors() -> None:
    with program(INTERRUPTED.format(then="store.tell(1)")) as process:
        said, _ = process.communicate(timeout=ANSWER_S)
    assert said.splitlines() == ["up", "over ActorCancelled", "interrupted"]


# ----------------------------------------------------- what the pages promise


class Stubborn(TrioActor[str, None]):
    """Does what the table of bad handlers says."""

    async def on_receive(self, message: str) -> None:
        if message == "raise":
            raise ValueError(message)
        while message == "swallow":
            with suppress(trio.Cancelled):
                await trio.sleep_forever()
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("message", "reason"), [("wait", ActorCancelled), ("swallow", ActorAbandoned)]
)
async def test_a_handler_that_does_not_return_is_contained_as_the_table_says(
    message: str, reason: type[Exception], autojump_clock: MockClock
) -> None:
    async with open_actor_system() as system:
        stubborn = await system.spawn(Stubborn, name="stubborn", shutdown_s=2)
        other = await system.spawn(Stubborn, name="other", restart="temporary")
        stubborn.tell(message)
        with pytest.raises(AskTimeout):
            await stubborn.aask("wait", timeout_s=1)
        began = trio.current_time()
        await system.stop_child("stubborn")
        assert 2 <= trio.current_time() - began <= 2.5
        assert type(await stubborn.wait_stopped()) is reason
        assert system.statistics().abandoned == (reason is ActorAbandoned)
        assert other.is_alive()


async def test_a_handler_that_always_raises_is_given_up_as_the_table_says(
    autojump_clock: MockClock,
) -> None:
    with pytest.raises(RestartIntensityExceeded):
        async with open_actor_system() as system:
            await system.spawn(Stubborn, name="stubborn")
            while (stubborn := await system.wait_child("stubborn")) is not None:
                stubborn.tell("raise")
                await stubborn.wait_stopped()
            await trio.sleep_forever()
    assert system.statistics().restarts == 3


async def test_told_and_asked_messages_end_as_the_front_page_says(
    autojump_clock: MockClock,
) -> None:
    async with open_actor_system() as system, trio.open_nursery() as nursery:
        stubborn = await system.spawn(Stubborn, name="stubborn", restart="temporary", shutdown_s=1)
        stubborn.tell("wait")
        await trio.sleep(1)
        stubborn.tell("never handled")
        asked = stubborn.ask("never answered", block=False)
        nursery.start_soon(system.stop_child, "stubborn")
        with pytest.raises(ActorDeadError):
            await asked
        assert stubborn.statistics().mailbox.unhandled == 2
