"""What is delivered: a wheel with two packages that works alone, beside a standard library that stays what it is.

The wheel is built by the build backend itself and unpacked as an installer unpacks a pure wheel, so nothing is needed
that the development environment does not hold. It is used by an interpreter without site packages (`-S`): the packages
of this checkout, which are installed in editable form, cannot stand in for the ones in the wheel.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import pytest

import opcode_runtime

ROOT = Path(__file__).resolve().parent.parent
BUILD_S = 120.0
START_S = 60.0
THIRD_PARTIES = sysconfig.get_path("purelib")

ACTORS_MAY_IMPORT = {"actors", "trio", "pykka", "outcome"} | {
    "attr",
    "attrs",
    "idna",
    "sniffio",
    "sortedcontainers",
}
"""trio, pykka and outcome, and what those need."""


def run(*words: str, cwd: Path) -> str:
    """Run the interpreter and give what it wrote."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("folder", [".", "opcode", "opcode/opcode_runtime", "tests"])
def test_the_standard_library_works_from_every_folder_of_the_checkout(folder: str) -> None:
    """`dis` imports `opcode`: a package of that name in the current folder would break half the library."""
    said = run(
        "-c",
        "import dis, dataclasses, inspect, opcode; print(opcode.__file__)",
        cwd=ROOT / folder,
    )
    assert Path(said.strip()).parent == Path(sysconfig.get_path("stdlib"))


def test_opcode_is_a_folder_of_sources_and_no_package() -> None:
    assert not (ROOT / "opcode" / "__init__.py").exists()
    assert [path.name for path in (ROOT / "opcode").glob("*.py")] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert done.returncode == 0, done.stderr
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh folder into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("target")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_the_wheel_holds_two_packages_and_nothing_beside_them(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    tops = {name.partition("/")[0] for name in names(wheel)}
    [info] = [top for top in tops if top.endswith(".dist-info")]
    assert tops == {"actors", "opcode_runtime", info}


def test_the_wheel_holds_every_source_file_and_the_marks_of_typed_packages(wheel: Path) -> None:
    sources = {
        path.relative_to(root).as_posix()
        for root, package in ((ROOT, "actors"), (ROOT / "opcode", "opcode_runtime"))
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in names(wheel) if ".dist-info/" not in name}
    assert packed == sources
    assert {"actors/py.typed", "opcode_runtime/py.typed"} <= packed


def test_the_wheel_holds_no_tests(wheel: Path) -> None:
    found = [Path(name) for name in names(wheel)]
    assert not [path for path in found if path.name.startswith(("test_", "conftest"))]
    assert not [path for path in found if {"tests", "property_tests"} & set(path.parts)]


def test_the_wheel_installs_by_unpacking_and_brings_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        [facts] = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
        assert "opcode = opcode_runtime.cli:main" in archive.read(entry_points).decode()
        assert "Root-Is-Purelib: true" in archive.read(facts).decode()
    assert not [name for name in names(wheel) if ".data/" in name]


LOOK = """
import json, sys
sys.path[:0] = [{target!r}]
sys.path += {more!r}
before = set(sys.modules)
{code}
new = {{name.partition(".")[0] for name in set(sys.modules) - before}}
import opcode as standard
print(json.dumps({{"result": result, "new": sorted(new), "opcode": standard.__file__}}))
"""


def look(target: Path, code: str, *more: str) -> dict[str, Any]:
    """Run `code`, which sets `result`, with the unpacked wheel; gives that and the top-level modules it brought in."""
    program = LOOK.format(target=str(target), more=list(more), code=code)
    said: dict[str, Any] = json.loads(run("-I", "-S", "-c", program, cwd=target))
    return said


def foreign(new: list[str]) -> set[str]:
    """Modules that are not the standard library's."""
    return {name for name in new if name not in sys.stdlib_module_names}


def test_importing_the_runtime_costs_nothing(target: Path) -> None:
    said = look(target, "import opcode_runtime; result = opcode_runtime.__file__", THIRD_PARTIES)
    assert Path(said["result"]).is_relative_to(target)
    assert foreign(said["new"]) == {"opcode_runtime"}


def test_importing_the_runtime_needs_no_other_package(target: Path) -> None:
    said = look(target, "import opcode_runtime; result = opcode_runtime.__version__")
    assert said["result"] == opcode_runtime.__version__


def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert wheel.name.split("-")[:2] == ["opcode_runtime", opcode_runtime.__version__]


def test_actors_stand_on_trio_and_pykka_alone(target: Path) -> None:
    said = look(target, "import actors; result = actors.__file__", THIRD_PARTIES)
    assert Path(said["result"]).is_relative_to(target)
    assert {"trio", "pykka"} <= foreign(said["new"]) <= ACTORS_MAY_IMPORT


def test_the_standard_library_keeps_its_opcode_beside_an_installed_wheel(target: Path) -> None:
    code = "import actors, opcode_runtime, dis, inspect; result = None"
    said = look(target, code, THIRD_PARTIES)
    assert Path(said["opcode"]).parent == Path(sysconfig.get_path("stdlib"))


def test_every_public_name_is_found_in_the_installed_wheel(target: Path) -> None:
    code = (
        "import actors, opcode_runtime\n"
        "result = [getattr(opcode_runtime, name).__module__ for name in opcode_runtime.__all__\n"
        "          if name != '__version__']\n"
        "result += [name for name in actors.__all__ if not hasattr(actors, name)]\n"
    )
    said = look(target, code, THIRD_PARTIES)
    assert all(name.startswith("opcode_runtime.") for name in said["result"])


WORKFLOW = """
import trio, opcode_runtime

async def main():
    step = {"id": "digest", "action": "crypto.hash", "params": {"data": "${{inputs.text}}"}}
    async with opcode_runtime.open_runtime("state") as runtime:
        await runtime.define("fingerprint", {"steps": [step]})
        return await (await runtime.run("fingerprint", {"text": "hello"})).result()

result = trio.run(main)["hash"][:8]
"""


def test_a_workflow_runs_on_the_installed_wheel(target: Path) -> None:
    assert look(target, WORKFLOW, THIRD_PARTIES)["result"] == "2cf24dba"


def test_the_command_of_the_installed_wheel_says_its_version(target: Path) -> None:
    code = "import sys\nfrom opcode_runtime.cli import main\nsys.stdout = sys.stderr\n"
    said = look(
        target, code + "result = main(['version'])\nsys.stdout = sys.__stdout__", THIRD_PARTIES
    )
    assert said["result"] == 0
