"""define, run, status, query and signal against a real daemon."""

from __future__ import annotations

import contextlib
import io
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.cli import main

GREET = {
    "name": "greet",
    "description": "Says hello.",
    "input_schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
    },
    "definition": {
        "steps": [
            {"id": "hash", "action": "crypto.hash", "params": {"data": "${{inputs.name}}"}},
            {
                "id": "say",
                "action": "shell.exec",
                "params": {"command": "echo", "args": ["hello ${{inputs.name}}"]},
                "depends_on": ["hash"],
            },
        ],
        "output": {"said": "${{steps.say.output.stdout_raw}}"},
    },
}


@pytest.fixture(scope="module")
def ask(daemon: Any) -> Any:
    """Runs a client command on the module's daemon, inside this process; gives exit code and JSON."""

    def asked(*words: str, home: Path = daemon.data_dir) -> tuple[int, Any]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*words, "--json", "--data-dir", str(home)])
        return code, json.loads(out.getvalue())

    return asked


@pytest.fixture(scope="module")
def greet(ask: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a defined template."""
    file = tmp_path_factory.mktemp("flows") / "greet.json"
    file.write_text(json.dumps(GREET))
    code, answer = ask("define", str(file))
    assert (code, answer["version"]) == (0, "v1")
    assert ask("define", str(file))[1]["unchanged"] is True
    return "greet"


def test_a_workflow_is_run_shown_and_listed(ask: Any, greet: str) -> None:
    code, ran = ask("run", greet, "--params", '{"name": "Ada"}')
    assert (code, ran["status"], ran["output"]) == (0, "completed", {"said": "hello Ada\n"})
    code, status = ask("status", ran["workflow_id"])
    assert (code, status["status"], status["agent_id"]) == (0, "completed", "cli")
    code, listed = ask("query", "workflows", "--filter", "status=completed", "limit=5")
    assert code == 0
    assert ran["workflow_id"] in {row["workflow_id"] for row in listed["workflows"]}
    code, events = ask("query", "events", "--filter", f"workflow_id={ran['workflow_id']}")
    assert [event["sequence"] for event in events["events"]] == list(
        range(1, 1 + len(events["events"]))
    )
    assert ask("query", "templates")[1]["templates"][0]["name"] == greet


def test_the_same_key_starts_one_workflow(ask: Any, greet: str) -> None:
    words = (
        "run",
        greet,
        "--params",
        '{"name": "Bo"}',
        "--idempotency-key",
        "once",
        "--agent-id",
        "me",
    )
    assert ask(*words)[1]["workflow_id"] == ask(*words)[1]["workflow_id"]


def test_params_come_from_a_file_or_standard_input(
    ask: Any, opcode: Any, daemon: Any, greet: str, tmp_path: Path
) -> None:
    (tmp_path / "params.json").write_text('{"name": "file"}')
    code, ran = ask("run", greet, "--params", f"@{tmp_path / 'params.json'}")
    assert (code, ran["output"]) == (0, {"said": "hello file\n"})
    words = ("run", greet, "--params", "@-", "--json", "--data-dir", str(daemon.data_dir))
    done = opcode(*words, stdin='{"name": "pipe"}')
    assert json.loads(done.stdout)["output"] == {"said": "hello pipe\n"}


def test_a_workflow_starts_in_the_directory_that_is_named(ask: Any, tmp_path: Path) -> None:
    step = {"id": "where", "action": "shell.exec", "params": {"command": "pwd"}}
    (tmp_path / "where.json").write_text(json.dumps({"steps": [step]}))
    assert ask("define", str(tmp_path / "where.json"), "--name", "where")[0] == 0
    code, ran = ask("run", "where", "--cwd", str(tmp_path))
    assert (code, ran["output"]["stdout_raw"]) == (0, f"{tmp_path}\n")
    code, refused = ask("run", "where", "--cwd", str(tmp_path / "nowhere"))
    assert (code, refused["error"]["pointer"]) == (1, "/cwd")


def test_a_person_reads_tables(opcode: Any, daemon: Any, greet: str) -> None:
    where = ("--data-dir", str(daemon.data_dir))
    done = opcode("run", greet, "--params", '{"name": "[red]\\u001b[2J"}', *where)
    assert done.returncode == 0
    assert "completed" in done.stdout
    assert "[red]" in done.stdout
    assert "\x1b[2J" not in done.stdout
    assert "crypto.hash" in opcode("query", "actions", *where).stdout
    assert "greet" in opcode("query", "templates", *where).stdout


def test_an_invalid_definition_is_reported_whole_and_nothing_is_stored(
    ask: Any, opcode: Any, daemon: Any, tmp_path: Path
) -> None:
    file = tmp_path / "broken.json"
    file.write_text('{"steps": [{"id": "a", "action": "shell.exce", "depends_on": ["b"]}]}')
    code, answer = ask("define", str(file), "--name", "broken")
    assert (code, answer["error"]["code"]) == (1, "VALIDATION_ERROR")
    done = opcode("define", str(file), "--name", "broken", "--data-dir", str(daemon.data_dir))
    assert "/steps/0" in done.stderr
    assert "shell.exec" in done.stderr
    assert "Next: " in done.stderr
    assert ask("query", "templates", "--filter", "name=broken")[1] == {"templates": []}


def test_checking_a_definition_stores_nothing(ask: Any, tmp_path: Path) -> None:
    file = tmp_path / "fine.json"
    file.write_text('{"steps": [{"id": "a", "action": "crypto.uuid"}]}')
    code, answer = ask("define", str(file), "--name", "unstored", "--check")
    assert (code, answer["valid"]) == (0, True)
    assert ask("query", "templates", "--filter", "name=unstored")[1] == {"templates": []}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("status", "nobody"), "NOT_FOUND"),
        (("run", "nothing"), "NOT_FOUND"),
        (("signal", "nobody", "cancel"), "NOT_FOUND"),
        (("query", "workflows", "--filter", "colour=red"), "VALIDATION_ERROR"),
    ],
)
def test_a_refusal_is_exit_code_one_with_its_code(
    ask: Any, words: tuple[str, ...], code: str
) -> None:
    found, answer = ask(*words)
    assert (found, answer["error"]["code"]) == (1, code)
    assert answer["error"]["next"]


def test_a_workflow_that_fails_is_exit_code_one(ask: Any, tmp_path: Path) -> None:
    file = tmp_path / "fail.json"
    file.write_text(
        '{"steps": [{"id": "a", "action": "workflow.fail", "params": {"reason": "so"}}]}'
    )
    assert ask("define", str(file), "--name", "fails")[0] == 0
    code, ran = ask("run", "fails")
    assert (code, ran["status"]) == (1, "failed")
    assert ask("status", ran["workflow_id"])[0] == 1


def test_a_wrong_token_is_refused_with_a_sentence(opcode: Any, daemon: Any, tmp_path: Path) -> None:
    done = opcode(
        "query", "workflows", "--url", daemon.url, "--token", "x" * 43, OPCODE_HOME=str(tmp_path)
    )
    assert done.returncode == 2
    assert "refused the token" in done.stderr
    assert "Traceback" not in done.stderr


def long_flow(began: Path) -> str:
    script = f"echo begun > {began}; exec sleep 50"
    step = {
        "id": "long",
        "action": "shell.exec",
        "params": {"command": "/bin/sh", "args": ["-c", script]},
    }
    return json.dumps({"steps": [step], "output": "${{steps.long.output}}"})


def test_a_running_workflow_is_cancelled(ask: Any, appears: Any, tmp_path: Path) -> None:
    began = tmp_path / "began"
    (tmp_path / "long.json").write_text(long_flow(began))
    assert ask("define", str(tmp_path / "long.json"), "--name", "cancelled")[0] == 0
    code, ran = ask("run", "cancelled", "--wait", "0")
    assert (code, ran["status"]) == (0, "active")
    appears(began, "begun")
    code, told = ask("signal", ran["workflow_id"], "cancel")
    assert (code, told["ok"]) == (0, True)
    code, status = ask("status", ran["workflow_id"])
    assert (code, status["status"]) == (1, "cancelled")


def test_a_step_in_doubt_asks_and_is_answered(
    ask: Any, opcode: Any, start_daemon: Any, appears: Any, tmp_path: Path
) -> None:
    home, began = tmp_path / "home", tmp_path / "began"
    (tmp_path / "long.json").write_text(long_flow(began))
    with start_daemon(home) as first:
        assert ask("define", str(tmp_path / "long.json"), "--name", "long", home=home)[0] == 0
        workflow_id = ask("run", "long", "--wait", "0", home=home)[1]["workflow_id"]
        appears(began, "begun")
        assert first.signal(signal.SIGKILL) == -signal.SIGKILL
    assert ask("status", workflow_id, home=home)[0] == 3
    with start_daemon(home):
        code, waiting = ask("status", workflow_id, home=home)
        assert (code, [each["step_id"] for each in waiting["pending_decisions"]]) == (4, ["long"])
        assert len(ask("query", "decisions", home=home)[1]["decisions"]) == 1
        shown = opcode("status", workflow_id, "--data-dir", str(home))
        assert f"opcode signal {workflow_id} decision --step long" in shown.stdout
        answer = ("--choice", "done", "--payload", '{"data": {"by": "hand"}}')
        words = ("signal", workflow_id, "decision", "--step", "long", *answer)
        assert ask(*words, "--reasoning", "seen", home=home)[0] == 0
        code, ended = ask("status", workflow_id, home=home)
        assert (code, ended["output"]) == (0, {"by": "hand"})
