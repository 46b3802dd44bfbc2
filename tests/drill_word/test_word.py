"""`opcode drill` as people type it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from opcode_runtime import Settings, open_runtime
from opcode_runtime.cli import main
from opcode_runtime.engine import recovery
from tests.drill_word.scenes import chain, step

Json = dict[str, Any]
LIST = [
    {"name": "inner", "definition": {"steps": chain(1)}},
    {
        "name": "outer",
        "definition": {
            "steps": [step("run", "workflow.run", params={"template_name": "inner"})],
        },
    },
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory of the test's own."""
    monkeypatch.setenv("OPCODE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def written(folder: Path, value: Any, name: str = "flow.json") -> str:
    """A file with some JSON."""
    path = folder / name
    path.write_text(json.dumps(value))
    return str(path)


def told(capsys: pytest.CaptureFixture[str]) -> Json:
    """What a command has printed as JSON."""
    answer: Json = json.loads(capsys.readouterr().out)
    return answer


def test_a_file_is_drilled_and_the_matrix_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, {"steps": chain(1)})
    assert main(["drill", file, "--stub", "--no-real"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("flow ended completed, 4 commits")
    for row in ("torn last page", "lost un-synced tail", "second zombie writer"):
        assert row in shown
    assert "24 cuts, 24 recover, 0 effects doubled, 0 in doubt (declared)" in shown


def test_a_list_of_definitions_runs_the_outermost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["drill", written(tmp_path, LIST), "--stub", "--no-real", "--sample", "4", "--json"]
    assert main(words) == 0
    answer = told(capsys)
    assert (answer["template"], answer["passed"], answer["cuts"]) == ("outer", True, 4)


def test_real_effects_happen_in_a_scratch_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.txt").write_text("one\ntwo\n")
    copying = step("copy", "fs.copy", params={"src": "given.txt", "dst": "made.txt"})
    reading = step("read", "fs.read", "copy", params={"path": "made.txt"})
    definition = {"steps": [copying, reading], "output": "${{steps.read.content}}"}
    words = ["drill", written(tmp_path, definition), "--copy", "given.txt", "--json"]
    assert main([*words, "--sample", "6", "--real", "1"]) == 0
    answer = told(capsys)
    assert (answer["status"], answer["effects"]) == ("completed", 2)
    assert answer["matrix"]["a real process, a real SIGKILL"]["ok"] == 1
    assert not (tmp_path / "made.txt").exists()


def test_a_counter_example_names_commit_kind_and_the_command_that_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evolve = recovery.evolve

    def forgetful(plan: Any, state: Any, event: Any) -> None:
        if getattr(event, "step_id", "") != "s0" or "completed" not in type(event).__name__.lower():
            evolve(plan, state, event)

    monkeypatch.setattr(recovery, "evolve", forgetful)
    file = written(tmp_path, {"steps": chain(2)})
    words = ["drill", file, "--stub", "--no-real"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    line = next(each for each in shown.splitlines() if each.startswith("counter-example: "))
    cut = line.removeprefix("counter-example: ").partition(",")[0]
    assert f"--only {cut}" in shown
    assert main([*words, "--only", cut, "--json"]) == 1
    assert told(capsys)["counter_example"]["cut"] == cut
    monkeypatch.undo()


def test_answers_and_stand_ins_come_from_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    definition = {
        "steps": [
            {"id": "w", "type": "wait", "config": {"signal": "go"}},
            step("ship", "fs.append", "w"),
            {
                "id": "ask",
                "type": "reasoning",
                "depends_on": ["ship"],
                "config": {"options": [{"id": "a"}, {"id": "b"}]},
            },
        ],
        "output": "${{steps.ask.choice}} ${{steps.ship.size}}",
    }
    answers = written(tmp_path, {"w": {"n": 1}, "flow/ask": "b", "fs.append": "retry"}, "a.json")
    outcomes = written(tmp_path, {"fs.append": {"output": {"size": 7}}}, "s.json")
    words = ["drill", written(tmp_path, definition), "--answers", answers, "--json"]
    assert main([*words, "--stand-ins", outcomes, "--no-real", "--sample", "9"]) == 0
    assert told(capsys)["effects"] == 0


async def _lived(home: Path) -> str:
    async with open_runtime(home, settings=Settings(drain_s=0)) as runtime:
        await runtime.define("inner", {"steps": [step("i", "crypto.uuid", params={})]})
        calls = step("run", "workflow.run", params={"template_name": "inner"})
        asks = {
            "id": "ask",
            "type": "reasoning",
            "depends_on": ["run"],
            "config": {"options": [{"id": "yes"}, {"id": "no"}]},
        }
        waits = {"id": "w", "type": "wait", "depends_on": ["ask"], "config": {"signal": "go"}}
        await runtime.define("outer", {"steps": [calls, asks, waits]})
        handle = await runtime.run("outer")
        await handle.wait(10)
        await runtime.signal(handle.workflow_id, "decision", {"choice": "no"}, step_id="ask")
        await runtime.signal(handle.workflow_id, "go", {"n": 1})
        with trio.fail_after(10):
            await handle.result()
        return handle.workflow_id


def test_a_template_and_a_workflow_of_the_journal_are_drilled(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow_id = trio.run(_lived, home)
    assert main(["drill", "inner@v1", "--json", "--no-real"]) == 0
    assert told(capsys)["template"] == "inner"
    assert main(["drill", workflow_id, "--json"]) == 0
    answer = told(capsys)
    assert (answer["template"], answer["status"], answer["passed"]) == ("outer", "completed", True)
    assert "a real process, a real SIGKILL" not in answer["matrix"]  # nothing is executed again


@pytest.mark.parametrize(
    ("words", "told_so"),
    [
        (["no-such.json"], "cannot be read"),
        (["{file}", "--only", "sideways@3"], "names no cut"),
        (["{file}", "--only", "torn@400", "--stub"], "no commit 400"),
        (["{file}", "--name", "other"], "no definition 'other'"),
        (["{file}", "--copy", "no-such"], "does not exist"),
        (["{file}", "--sample", "0"], "at least 1"),
        (["{file}", "--params", "[]"], "object"),
        (["{bad}"], "neither"),
    ],
)
def test_what_cannot_be_drilled_is_refused_with_a_sentence(
    words: list[str], told_so: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, {"steps": chain(1)})
    bad = written(tmp_path, {"a": {"stepz": []}}, "bad.json")
    places = {"{file}": file, "{bad}": bad}
    assert main(["drill", *(places.get(word, word) for word in words)]) == 2
    assert told_so in capsys.readouterr().err


def test_a_name_that_is_nothing_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trio.run(_lived, home)
    assert main(["drill", "nobody"]) == 2
    assert "no template 'nobody'" in capsys.readouterr().err


def test_a_recording_that_failed_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = step("read", "fs.read", params={"path": "not-copied.txt"})
    file = written(tmp_path, {"steps": [reading]})
    assert main(["drill", file, "--sample", "1", "--no-real"]) == 0
    shown = capsys.readouterr().out
    assert "flow ended failed" in shown
    assert "Why it ended failed: step read: [" in shown
    assert "not-copied.txt" in shown


def test_a_recording_that_was_stopped_is_not_played_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sleeping = step("nap", "shell.exec", params={"command": "sleep", "args": ["600"]})
    file = written(tmp_path, {"steps": [sleeping]})
    assert main(["drill", file, "--limit-s", "0.5", "--json"]) == 1
    answer = told(capsys)
    assert (answer["status"], answer["cuts"], answer["notes"]) == ("active", 0, [])
    assert "under way: nap" in answer["problems"][0]


@pytest.mark.parametrize(
    "flags",
    [("--limit-s", "nan"), ("--limit-s", "0"), ("--limit-s", "inf"), ("--real", "-1")],
)
def test_an_extent_that_means_nothing_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, str]
) -> None:
    assert main(["drill", written(tmp_path, {"steps": chain(1)}), "--stub", *flags]) == 2
    assert flags[0] in capsys.readouterr().err


def test_a_folder_and_a_name_without_a_journal_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert main(["drill", "nothing"]) == 2
    assert "There is no file 'nothing', and no journal in" in capsys.readouterr().err
    assert main(["drill", "--bogus"]) == 2
    assert "Unknown option: --bogus" in capsys.readouterr().err


def test_a_definition_comes_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = io.TextIOWrapper(io.BytesIO(json.dumps({"steps": chain(1)}).encode()))
    monkeypatch.setattr("sys.stdin", given)
    assert main(["drill", "-", "--stub", "--no-real", "--sample", "1"]) == 0
    assert capsys.readouterr().out.startswith("drilled ended completed")


def test_a_drill_without_a_place_to_work_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    assert main(["drill", written(tmp_path, {"steps": chain(1)}), "--stub"]) == 1
    assert "no place to work" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"s0": 5}, "no JSON object"),
        ({"so": {"output": 1}}, "'so' fits no step and no action"),
        ({"flow/so": {"output": 1}}, "fits no step"),
    ],
)
def test_a_stand_in_that_would_stand_in_for_nothing_is_refused_before_anything_is_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: Json, complaint: str
) -> None:
    words = ["drill", written(tmp_path, {"steps": chain(1)}), "--no-real"]
    assert main([*words, "--stand-ins", written(tmp_path, given, "stand-ins.json")]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("key", ["s0", "flow/s0", "http.get", "shell.exec", "*"])
def test_a_stand_in_may_be_for_a_step_an_action_or_all(tmp_path: Path, key: str) -> None:
    given = written(tmp_path, {key: {"output": 1}}, "stand-ins.json")
    words = ["drill", written(tmp_path, {"steps": chain(1)}), "--stub", "--no-real"]
    assert main([*words, "--sample", "1", "--stand-ins", given]) == 0
