"""What the core may not know, read from its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import opcode_runtime.core
import opcode_runtime.model

FORBIDDEN = {
    "trio", "time", "datetime", "random", "os", "io", "sys", "socket", "subprocess", "threading", "lmdb",
    "logging", "structlog", "actors", "pykka", "uuid", "secrets", "pathlib", "tempfile", "asyncio",
}  # fmt: skip
CALLS = {"open", "print", "input", "eval", "exec", "hash", "id"}
SOURCES = sorted(
    path
    for package in (opcode_runtime.core, opcode_runtime.model)
    for path in Path(package.__path__[0]).rglob("*.py")
)


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def called(tree: ast.AST) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {func.id for func in calls if isinstance(func, ast.Name)}


def test_what_formats_moments_asks_no_clock() -> None:
    source = next(path for path in SOURCES if path.name == "times.py").read_text()
    methods = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert methods == {"fromtimestamp", "isoformat", "replace"}


def test_there_is_something_to_scan() -> None:
    assert len(SOURCES) > 20


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_core_knows_no_clock_no_chance_and_nothing_outside(path: Path) -> None:
    tree = ast.parse(path.read_text())
    allowed = {"datetime"} if path.name == "times.py" else set()
    assert not {name.split(".")[0] for name in imported(tree)} & FORBIDDEN - allowed
    assert not called(tree) & CALLS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_core_imports_of_the_runtime_nothing_but_core_and_model(path: Path) -> None:
    ours = {name for name in imported(ast.parse(path.read_text())) if name.startswith("opcode_")}
    allowed = ("opcode_runtime.core", "opcode_runtime.model")
    assert all(name.startswith(allowed) for name in ours)
    if "model" in path.parts[-2:]:
        assert all(name.startswith("opcode_runtime.model") for name in ours)


def test_a_forbidden_import_would_be_seen() -> None:
    tree = ast.parse("def f():\n    from os.path import join\n    return hash(1)")
    assert {name.split(".")[0] for name in imported(tree)} & FORBIDDEN
    assert called(tree) & CALLS
