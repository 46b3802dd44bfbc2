"""The examples in the docstrings of core and model hold."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import opcode_runtime.core
import opcode_runtime.model

MODULES = sorted(
    found.name
    for package in (opcode_runtime.core, opcode_runtime.model)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    modules = [importlib.import_module(name) for name in MODULES]
    assert sum(len(test.examples) for m in modules for test in doctest.DocTestFinder().find(m)) >= 8
