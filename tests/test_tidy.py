"""The style of the project as a test: lengths, names, docstrings, and words that have no place here.

Rule 1: limits are hard. What is over a limit when the limit is introduced may be listed in a ratchet, and a ratchet
only ever gets shorter; ours are empty.
Rule 2: a banned name is banned because the field has a better word for the thing.
"""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_P95 = 40
FUNCTION_LINES_MEDIAN = 8
FILE_LINES_MAX = 400
NESTING_MAX = 3
PACKAGES = ("actors", "opcode/opcode_runtime")
BANNED_NAMES = re.compile(r"(^|_)(utils?|helpers?|manager|common|misc|stuff)($|_)", re.IGNORECASE)
LONG_FUNCTIONS: dict[str, int] = {}
"""Ratchet: functions longer than the limit, with their length when they were listed."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project, by git where there is git."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listing.stdout.splitlines()
    if listing.returncode:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    hidden = (".venv", ".git", "dist", "build")
    return tuple(
        ROOT / name for name in names if not name.startswith(hidden) and (ROOT / name).is_file()
    )


def sources(*folders: str) -> list[Path]:
    """The Python files below `folders`."""
    roots = [ROOT / folder for folder in folders]
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and any(root in path.parents for root in roots)
    ]


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[Function]:
    """Every function and method of a file."""
    for node in ast.walk(tree(path)):
        if isinstance(node, Function):
            yield node


def body_lines(node: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def name_of(path: Path) -> str:
    """A file as messages name it."""
    return str(path.relative_to(ROOT))


def test_functions_are_short() -> None:
    lengths = [
        (body_lines(node), f"{name_of(path)}:{node.name}")
        for path in sources(*PACKAGES)
        for node in functions(path)
    ]
    too_long = {
        name: length
        for length, name in lengths
        if length > LONG_FUNCTIONS.get(name, FUNCTION_LINES_MAX)
    }
    assert not too_long
    counts = sorted(length for length, _ in lengths)
    assert statistics.median(counts) <= FUNCTION_LINES_MEDIAN
    assert counts[int(len(counts) * 0.95)] <= FUNCTION_LINES_P95


def test_the_ratchet_holds_nothing_that_has_become_short() -> None:
    lengths = {
        f"{name_of(path)}:{node.name}": body_lines(node)
        for path in sources(*PACKAGES)
        for node in functions(path)
    }
    assert all(lengths.get(name, 0) > FUNCTION_LINES_MAX for name in LONG_FUNCTIONS)


def test_files_are_short() -> None:
    folders = (*PACKAGES, "tests", "property_tests", "docs", "examples", "bench", "drills")
    lengths = {name_of(path): path.read_text().count("\n") for path in sources(*folders)}
    assert not {name: count for name, count in lengths.items() if count > FILE_LINES_MAX}


def depth(node: ast.AST) -> int:
    """How deep control flow is nested below `node`, nested functions counted for themselves."""
    nests = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.With, ast.AsyncWith, ast.Match)
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        chained = isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If)
        deepest = max(deepest, depth(child) + (isinstance(child, nests) and not chained))
    return deepest


def test_control_flow_is_flat() -> None:
    deep = {
        f"{name_of(path)}:{node.name}": depth(node)
        for path in sources(*PACKAGES)
        for node in functions(path)
        if depth(node) > NESTING_MAX
    }
    assert not deep


def test_no_module_or_class_has_a_name_that_says_nothing() -> None:
    modules = [name_of(path) for path in sources(*PACKAGES) if BANNED_NAMES.search(path.stem)]
    classes = [
        f"{name_of(path)}:{node.name}"
        for path in sources(*PACKAGES)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and BANNED_NAMES.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name))
    ]
    assert not modules + classes


INHERITED = frozenset({"on_start", "on_receive", "on_stop", "on_failure"})
"""Hooks that the base class documents."""


def undocumented(path: Path) -> Iterator[str]:
    """Public names of a file that have no docstring."""
    module = tree(path)
    if not ast.get_docstring(module):
        yield name_of(path)
    for node in module.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{name_of(path)}:{node.name}"
            yield from _undocumented_methods(path, node)


def _undocumented_methods(path: Path, node: Function | ast.ClassDef) -> Iterator[str]:
    is_protocol = isinstance(node, ast.ClassDef) and any(
        isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases
    )
    for method in node.body if isinstance(node, ast.ClassDef) and not is_protocol else ():
        if not isinstance(method, Function) or method.name.startswith("_"):
            continue
        overload = any(
            isinstance(mark, ast.Name) and mark.id == "overload" for mark in method.decorator_list
        )
        if not overload and method.name not in INHERITED and not ast.get_docstring(method):
            yield f"{name_of(path)}:{node.name}.{method.name}"


def test_every_public_name_says_what_it_is_for() -> None:
    assert not [name for path in sources(*PACKAGES) for name in undocumented(path)]


def test_opcode_is_a_folder_and_never_a_package() -> None:
    assert not (ROOT / "opcode" / "__init__.py").exists()


# Split so that this file does not hold what it looks for.
HOSTS = "|".join(
    re.escape(host.replace("_", "."))
    for host in (
        "pypi_org",
        "pythonhosted_org",
        "npmjs_com",
        "npmjs_org",
        "crates_io",
        "debian_org",
    )
)
PLACES = "|".join(("/wo" + "rk/", "/ro" + "ot/", "/fa" + "rm/"))
LOCKS = {"uv.lock", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}


@pytest.mark.parametrize("banned", [HOSTS, PLACES], ids=["package hosts", "paths of a machine"])
def test_the_project_speaks_of_itself_alone(banned: str) -> None:
    pattern = re.compile(banned)
    found = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {hit[0]}" for hit in pattern.finditer(text)]
    assert not found


def test_no_lock_file_is_kept() -> None:
    assert not [name_of(path) for path in tracked() if path.name in LOCKS]


def test_the_core_reads_no_clock_and_draws_no_lots() -> None:
    forbidden = {"trio", "time", "random", "os", "lmdb", "logging", "uuid", "secrets", "datetime"}
    found = []
    for path in sources("opcode/opcode_runtime/core", "opcode/opcode_runtime/model"):
        for node in ast.walk(tree(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [f"{name_of(path)}: {n}" for n in names if n.split(".")[0] in forbidden]
    assert found == ["opcode/opcode_runtime/model/times.py: datetime"]  # formats, never asks


def test_no_read_transaction_spans_an_await() -> None:
    """LMDB readers hold pages: a transaction that waits for anything makes the file grow."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources("opcode/opcode_runtime/storage")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncWith)
    ]
    assert not found
