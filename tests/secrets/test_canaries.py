"""I-X1 `no_secret_bytes`: secrets planted in thousands of outcomes are in no file, no answer and no log line.

One thousand outcomes as a rule, ten thousand where `OPCODE_CI` is `full`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog

import opcode_runtime
from opcode_runtime import open_runtime
from opcode_runtime.actions import Call
from opcode_runtime.cli.logs import configure_logs
from opcode_runtime.model.errors import ErrorCode, ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed, LogRequest, Outcome
from opcode_runtime.model.settings import Limits
from opcode_runtime.secrets import Redactor

from .canaries import canaries, outcome_value, traces
from .conftest import bytes_below, vault_in

COUNT = 10_000 if os.environ.get("OPCODE_CI") == "full" else 1_000
SEED = 20_811


def _outcome(random: Random, secrets: dict[str, str]) -> Outcome:
    value, message = outcome_value(random, secrets), outcome_value(random, secrets)
    requests = (LogRequest("info", str(message), data=value),) if random.random() < 0.3 else ()
    if random.random() < 0.3:
        details = {"value": value}
        return Failed(ErrorInfo(ErrorCode.EXECUTION_ERROR, str(message), details), requests)
    return Completed(value, requests)


def _leaked(body: bytes, wanted: list[bytes]) -> list[bytes]:
    return [trace for trace in wanted if trace in body]


def test_no_secret_bytes_in_redacted_outcomes() -> None:
    random = Random(SEED)
    secrets = canaries(random, 24)
    redactor = Redactor()
    redactor.know(secrets.items())
    wanted = traces(secrets)
    before, after = bytearray(), bytearray()
    for _ in range(COUNT):
        outcome = _outcome(random, secrets)
        before += _written(outcome)
        after += _written(redactor.outcome(outcome))
    planted = _leaked(bytes(before), wanted)
    assert len(planted) > 0.8 * len(wanted)
    assert _leaked(bytes(after), wanted) == []


def _written(outcome: Outcome) -> bytes:
    value = outcome.output if isinstance(outcome, Completed) else outcome.error.details
    return f"{outcome!r}\n{json.dumps(value, ensure_ascii=False)}\n".encode()


@pytest.fixture
def logs_put_back() -> Iterator[None]:
    """How others log is as before when the test is over."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("unlocked", "logs_put_back")
async def test_no_secret_bytes_in_journal_answers_and_logs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(SEED + 1)
    secrets = canaries(random, 12)
    vault_in(tmp_path / "data", **secrets)
    planted: list[Any] = []
    configure_logs(opcode_runtime.Settings(log_format="json", log_level="debug"), token=None)
    structlog.configure(cache_logger_on_first_use=False)  # else a logger keeps all this for good
    log = opcode_runtime.engine.opening._log

    @opcode_runtime.action("test.leak", kind="effectful")
    async def leak(params: dict[str, Any], call: Call) -> Any:
        outcome = _outcome(random, secrets)
        planted.append(outcome)
        try:
            raise ValueError(str(outcome))
        except ValueError:
            log.exception("leaking", outcome=str(outcome))
        call.log("info", str(outcome), data=outcome_value(random, secrets))
        if isinstance(outcome, Failed):
            raise opcode_runtime.OpcodeError(
                ErrorCode.EXECUTION_ERROR, outcome.error.message, details=outcome.error.details
            )
        return outcome.output

    definition = {
        "steps": [
            {
                "id": "many",
                "type": "loop",
                "config": {
                    "over": list(range(COUNT)),
                    "max_concurrency": 20,
                    "body": [
                        {"id": "a", "action": "test.leak", "on_error": {"strategy": "ignore"}}
                    ],
                },
            }
        ]
    }
    limits = Limits(breaker_failures_max=0)
    chosen = opcode_runtime.Settings(limits=limits)
    async with open_runtime(tmp_path / "data", actions=[leak], settings=chosen) as runtime:
        await runtime.define("leaks", definition)
        handle = await runtime.run("leaks")
        ended = await handle.wait()
        shown = [
            await runtime.status(handle.workflow_id),
            await runtime.query("events", {"workflow_id": handle.workflow_id}),
            await runtime.query("workflows"),
            ended,
        ]
    assert ended["status"] == "completed"
    assert len(planted) == COUNT
    captured = capsys.readouterr()
    wanted = traces(secrets)
    assert len(_leaked(repr(planted).encode(), wanted)) > 0.5 * len(wanted)
    assert captured.err.count("leaking") >= COUNT
    places = {
        "files": bytes_below(tmp_path),
        "answers": json.dumps(shown).encode() + json.dumps(shown, ensure_ascii=False).encode(),
        "logs": captured.err.encode() + captured.out.encode(),
    }
    for name, body in places.items():
        assert b"[secret:CANARY_" in body, name
        assert _leaked(body, wanted) == [], name
