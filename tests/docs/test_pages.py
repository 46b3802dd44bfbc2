"""What the pages name is there: links, modules, numbers, layers, and nothing that the project does not speak of."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pytest

from .blocks import ROOT, pages

ARCHITECTURE = ROOT / "docs" / "ARCHITECTURE.md"
PACKAGE = ROOT / "opcode" / "opcode_runtime"
LINES_MAX = 300

_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_MODULE = re.compile(r"`((?:actors|tests|[a-z]+)/[\w/]*\w\.py)`|(?<=\s)([a-z]+/[\w/]*\w\.py)")
_BOUND = re.compile(r"^\|[^|]*\| `([^`|]+)` \| `([\w/]+)\.py` `([\w.]+)` \|$", re.MULTILINE)
_LAYER = re.compile(r"^\| \d \| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings make."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_architecture_is_short_enough_to_be_read() -> None:
    assert ARCHITECTURE.read_text("utf-8").count("\n") <= LINES_MAX


def test_every_module_that_the_architecture_names_is_there() -> None:
    found = {a or b for a, b in _MODULE.findall(ARCHITECTURE.read_text("utf-8"))}
    assert len(found) > 40
    there = (PACKAGE, ROOT)
    assert [name for name in sorted(found) if not any((at / name).exists() for at in there)] == []


def test_every_number_in_the_table_of_limits_is_that_of_the_code() -> None:
    bounds = _BOUND.findall(ARCHITECTURE.read_text("utf-8"))
    assert len(bounds) > 15
    for value, module, name in bounds:
        loaded = import_module(f"opcode_runtime.{module.replace('/', '.')}")
        assert attrgetter(name)(loaded) == ast.literal_eval(value), name


def test_the_layers_are_those_that_are_checked() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [checked] = [each["layers"] for each in contracts if each["type"] == "layers"]
    shown = [
        re.findall(r"\w+", packages) for packages in _LAYER.findall(ARCHITECTURE.read_text("utf-8"))
    ]
    assert [set(packages) for packages in shown] == [set(each.split(" | ")) for each in checked]


def test_every_package_of_the_runtime_is_on_the_page() -> None:
    text = ARCHITECTURE.read_text("utf-8")
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert [name for name in sorted(packages) if f"`{name}`" not in text] == []
