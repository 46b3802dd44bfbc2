"""`opcode template` against a real daemon."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime.cli import main


@pytest.fixture(scope="module")
def ask(daemon: Any) -> Any:
    """Runs a client command on the module's daemon, inside this process; gives exit code and JSON."""

    def asked(*words: str) -> tuple[int, Any]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*words, "--json", "--data-dir", str(daemon.data_dir)])
        return code, json.loads(out.getvalue())

    return asked


@pytest.fixture
def define(ask: Any, tmp_path: Path) -> Any:
    """Defines a template of one step that hashes `data`; gives its version."""

    def defined(name: str, data: str, **more: Any) -> str:
        step = {"id": "hash", "action": "crypto.hash", "params": {"data": data}}
        file = tmp_path / "flow.json"
        file.write_text(json.dumps({"name": name, "definition": {"steps": [step]}, **more}))
        code, answer = ask("define", str(file))
        assert code == 0, answer
        return str(answer["version"])

    return defined


def _versions(answer: Any) -> list[str]:
    return [each["version"] for each in answer["templates"]]


def test_a_template_is_listed_shown_removed_and_counted_on(
    ask: Any, define: Any, tmp_path: Path
) -> None:
    triggers = {"schedule": "0 9 * * 1-5"}
    assert [define("life", "a"), define("life", "b", triggers=triggers)] == ["v1", "v2"]
    code, listed = ask("template", "list", "life")
    assert (code, _versions(listed)) == (0, ["v2", "v1"])
    assert "definition" not in listed["templates"][0]
    code, shown = ask("template", "show", "life")
    assert (code, shown["version"], shown["triggers"]) == (0, "v2", triggers)
    assert ask("template", "show", "life@v1")[1]["definition"]["steps"][0]["params"] == {
        "data": "a"
    }
    assert ask("template", "rm", "life@v2") == (0, {"name": "life", "removed": ["v2"]})
    assert ask("template", "show", "life")[1]["version"] == "v1"
    code, refused = ask("run", "life", "--version", "v2")
    assert (code, refused["error"]["code"]) == (1, "NOT_FOUND")
    assert define("life", "c") == "v3"
    assert ask("template", "rm", "life")[1]["removed"] == ["v3", "v1"]
    assert ask("template", "list", "life") == (0, {"templates": []})
    assert define("life", "a") == "v4"


def test_more_templates_than_one_answer_carries_are_all_listed(ask: Any, define: Any) -> None:
    padding = "x" * 400_000
    for n in range(4):
        define("large", f"{n}", description="one of four", permissions={"padding": padding})
    code, listed = ask("template", "list", "large")
    assert (code, _versions(listed)) == (0, ["v4", "v3", "v2", "v1"])


def test_a_template_in_use_is_not_removed(
    ask: Any, opcode: Any, daemon: Any, tmp_path: Path
) -> None:
    script = {"command": "/bin/sh", "args": ["-c", "exec sleep 50"]}
    step = {"id": "long", "action": "shell.exec", "params": script}
    (tmp_path / "long.json").write_text(json.dumps({"steps": [step]}))
    assert ask("define", str(tmp_path / "long.json"), "--name", "used")[0] == 0
    workflow_id = ask("run", "used", "--wait", "0")[1]["workflow_id"]
    code, refused = ask("template", "rm", "used@v1")
    assert (code, refused["error"]["code"]) == (1, "CONFLICT")
    assert refused["error"]["details"]["workflows"] == [workflow_id]
    shown = opcode("template", "rm", "used", "--data-dir", str(daemon.data_dir))
    assert shown.returncode == 1
    assert workflow_id in shown.stderr
    assert "Next: " in shown.stderr
    assert ask("signal", workflow_id, "cancel")[0] == 0
    assert ask("template", "rm", "used")[0] == 0
    assert ask("status", workflow_id)[1]["status"] == "cancelled"


@pytest.mark.parametrize(
    "words",
    [
        ("rm", "nothing"),
        ("rm", "nothing@v1"),
        ("rm", "there@v7"),
        ("rm", "a/b?name=there&version=v1#x"),
        ("show", "nothing"),
        ("show", "there@v7"),
    ],
)
def test_what_is_not_there_is_not_found(ask: Any, define: Any, words: tuple[str, ...]) -> None:
    define("there", "a")
    code, answer = ask("template", *words)
    assert (code, answer["error"]["code"]) == (1, "NOT_FOUND")
    assert answer["error"]["next"]
    assert _versions(ask("template", "list", "there")[1]) == ["v1"]


def test_a_name_of_any_characters_is_removed_by_it(ask: Any, define: Any) -> None:
    for name in ("..", "a b&version=v9%2F", "\u00e9\u6f22"):
        assert define(name, "a") == "v1"
        assert ask("template", "rm", name) == (0, {"name": name, "removed": ["v1"]})


def test_a_person_reads_a_template(opcode: Any, daemon: Any, define: Any) -> None:
    define("shown", "a", description="[red]what\x1b[2J", permissions={"run": ["ann"]})
    where = ("--data-dir", str(daemon.data_dir))
    shown = opcode("template", "show", "shown", *where)
    assert shown.returncode == 0
    assert all(text in shown.stdout for text in ("shown v1", "crypto.hash", "[red]what", "ann"))
    assert "\x1b[2J" not in shown.stdout
    assert "shown" in opcode("template", "list", *where).stdout
    assert "shown v1 removed." in opcode("template", "rm", "shown", *where).stdout


def test_nothing_is_removed_without_the_token(opcode: Any, daemon: Any, define: Any) -> None:
    define("guarded", "a")
    words = ("template", "rm", "guarded", "--url", daemon.url)
    done = opcode(*words, "--token", "x" * 43, OPCODE_HOME=str(daemon.data_dir / "no"))
    assert done.returncode == 2
    assert "refused the token" in done.stderr
    kept = opcode("template", "list", "guarded", "--data-dir", str(daemon.data_dir))
    assert "guarded" in kept.stdout


def test_the_command_line_is_known_as_a_human(ask: Any, define: Any) -> None:
    define("known", "a")
    assert ask("run", "known", "--agent-id", "bot", "--agent-type", "service")[0] == 0
    code, answer = ask("query", "agents")
    known = {row["agent_id"]: row["type"] for row in answer["agents"]}
    assert (code, known["cli"], known["bot"]) == (0, "human", "service")
