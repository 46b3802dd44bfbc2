"""The corpus of expressions, and evaluating one of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.expressions.expr import ExprLimits, compile_expr, evaluate_expr

HERE = Path(__file__).parent
UNHURRIED = ExprLimits(cpu_s=60)
"""The limits of an evaluation on a machine that may be busy."""

NOON_NS = 1_795_262_400 * 10**9
"""2026-11-21T12:00:00Z"""


def load(name: str) -> Any:
    return json.loads((HERE / name).read_text("utf-8"))


@pytest.fixture(scope="session")
def environment() -> dict[str, Any]:
    """The variables of the corpus."""
    return load("corpus.json")["environment"]


@pytest.fixture
def value_of(environment: dict[str, Any]) -> Callable[..., Any]:
    """The value of an expression over the corpus's variables, and over more of them."""

    def value(source: str, **more: Any) -> Any:
        variables = {**environment, **more}
        return evaluate_expr(compile_expr(source), variables, limits=UNHURRIED, now_ns=NOON_NS)

    return value
