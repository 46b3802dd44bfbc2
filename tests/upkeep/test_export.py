"""What is exported comes back as it was, and a file that was harmed is refused by line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opcode_runtime import upkeep
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import Append, Journal, JournalFull, JournalLocked
from opcode_runtime.upkeep.lines import LineWrong, Sums, from_json, to_json
from tests.storage.histories import completed, created, files
from tests.upkeep.stores import (
    ODD,
    active,
    busy_writer,
    contents,
    ended,
    template,
    waiting,
    write,
)


def _filled(folder: Path) -> None:
    write(folder, template(versions=2), waiting("w1"), active("w2"), ended("w3"))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_every_line_is_json_between_a_header_and_a_trailer(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    exported = upkeep.export(folder, tmp_path / "e")
    header, *events, trailer = _lines(tmp_path / "e")
    assert header["format"] == "opcode-journal"
    assert header["store"] == (folder / "journal.created").read_text().strip()
    assert [(each["stream"], each["seq"]) for each in events] == [
        *(("template/t", n) for n in (1, 2)),
        *(("w1", n) for n in range(1, 9)),
        *(("w2", n) for n in range(1, 4)),
        *(("w3", n) for n in range(1, 4)),
    ]
    assert (trailer["workflows"], trailer["streams"], trailer["events"]) == (3, 4, 16)
    assert (exported.workflows, exported.streams, exported.events) == (3, 4, 16)
    with upkeep.open_reader(folder) as reader:
        assert events[9]["digest"] == reader.head("w1")[1].hex()
    assert (tmp_path / "e").stat().st_mode & 0o777 == 0o600


def test_odd_values_survive_the_way_out_and_in(folder: Path, tmp_path: Path) -> None:
    odd = Append("w\ud800", 0, (created("w\ud800", inputs=ODD), completed(output=(1, (2,)))))
    big = Append("big", 0, (created("big"), completed(output={"x": "y" * 400_000, "n": 10**400})))
    write(folder, template(), odd, big)
    upkeep.export(folder, tmp_path / "e")
    upkeep.import_file(tmp_path / "e", tmp_path / "j", resume=True)
    assert contents(tmp_path / "j") == contents(folder)
    assert upkeep.verify(tmp_path / "j").sound


@pytest.mark.parametrize(
    "value",
    [*ODD.values(), ODD, (1, [2, (3,)]), {1: 2, None: 3}, b"\0\xff", 2**64, -(2**64), 1.5, True],
)
def test_json_holds_every_value(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert repr(from_json(json.loads(text))) == repr(value)


@pytest.mark.parametrize(
    "value",
    [{"$opcode": 1}, {"$opcode": ["x", 1]}, {"$opcode": ["int", "zz"]}, {"$opcode": ["map", 5]}],
)
def test_marks_that_mean_nothing_are_refused(value: Any) -> None:
    with pytest.raises(LineWrong, match="marked value"):
        from_json(value)


def test_a_value_of_no_event_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="set"):
        to_json({1, 2})
    assert math.isnan(from_json(to_json(math.nan)))


def test_an_export_beside_a_busy_writer_is_of_one_moment(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    write(folder, Append("busy", 0, (completed(),)))
    with busy_writer(folder):
        upkeep.export(folder, tmp_path / "e")
    done = upkeep.import_file(tmp_path / "e", tmp_path / "j")
    assert done.streams == 5


def test_one_workflow_comes_with_its_family_and_their_templates(
    folder: Path, tmp_path: Path
) -> None:
    write(
        folder,
        template("t"),
        template("u"),
        template("other"),
        waiting("w1"),
        waiting("child", parent_workflow_id="w1", template_name="u"),
        waiting("stranger", template_name="other"),
    )
    upkeep.export(folder, tmp_path / "e", "w1")
    assert {each["stream"] for each in _lines(tmp_path / "e")[1:-1]} == {
        *("template/t", "template/u", "w1", "child"),
    }
    with pytest.raises(OpcodeError, match="no workflow 'w9'"):
        upkeep.export(folder, tmp_path / "f", "w9")
    assert not (tmp_path / "f").exists()


def test_a_damaged_journal_is_not_exported_but_told_of_the_salvage(
    folder: Path, tmp_path: Path
) -> None:
    _filled(folder)
    data = folder / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"needle-w1", b"nEedle-w1"))
    with pytest.raises(OpcodeError, match="'w1' at seq 4") as caught:
        upkeep.export(folder, tmp_path / "e")
    assert "--salvage" in str(caught.value.next)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_an_import_is_the_journal_that_was_with_its_open_workflows_on_hold(
    folder: Path, tmp_path: Path
) -> None:
    _filled(folder)
    upkeep.export(folder, tmp_path / "e")
    done = upkeep.import_file(tmp_path / "e", tmp_path / "j")
    assert done == upkeep.Imported(3, 4, 16, [], [], ["w1", "w2"])
    brought = contents(tmp_path / "j")
    for stream, events in contents(folder).items():
        assert brought[stream][: len(events)] == events
    with Journal.open(tmp_path / "j") as journal:
        rows = {row.id: (row.status, row.suspended_for) for row in journal.workflows()}
    held = ("suspended", "recovery")
    assert rows == {"w1": held, "w2": held, "w3": ("cancelled", None)}
    again = upkeep.import_file(tmp_path / "e", tmp_path / "j")
    assert (again.streams, len(again.skipped), again.held) == (0, 4, [])
    assert contents(tmp_path / "j") == brought


def test_a_workflow_that_has_not_started_is_held_too(folder: Path, tmp_path: Path) -> None:
    write(folder, template(), Append("w1", 0, (created("w1"),)))
    upkeep.export(folder, tmp_path / "e")
    assert upkeep.import_file(tmp_path / "e", tmp_path / "j").held == ["w1"]
    with upkeep.open_reader(tmp_path / "j") as reader:
        state = upkeep.replay(reader, "w1").state
    assert (state["status"], state["suspended_for"]) == ("suspended", "recovery")


def test_an_import_that_was_cut_off_has_no_half_workflow_and_can_be_repeated(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _filled(folder)
    upkeep.export(folder, tmp_path / "e")
    append, commits = Journal.append, iter(range(3))

    def failing(journal: Journal, batch: Any) -> Any:
        if next(commits, None) is None:
            raise JournalFull("planted")
        return append(journal, batch)

    monkeypatch.setattr("opcode_runtime.upkeep.importing._BATCH_EVENTS", 1)
    monkeypatch.setattr(Journal, "append", failing)
    with pytest.raises(JournalFull):
        upkeep.import_file(tmp_path / "e", tmp_path / "j")
    monkeypatch.undo()
    there = contents(tmp_path / "j")
    assert sorted(there) == ["template/t", "w1", "w2"]
    with Journal.open(tmp_path / "j") as journal:
        rows = {row.id: row.suspended_for for row in journal.workflows()}
    assert rows == {"w1": "recovery", "w2": "recovery"}
    done = upkeep.import_file(tmp_path / "e", tmp_path / "j")
    assert (done.skipped, done.workflows) == (sorted(there), 1)
    assert upkeep.verify(tmp_path / "j").sound


def test_streams_that_differ_refuse_the_whole_file(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    upkeep.export(folder, tmp_path / "e")
    write(tmp_path / "j", waiting("w3"))
    before = contents(tmp_path / "j")
    with pytest.raises(OpcodeError, match=r"'w3'.*differs at seq 3"):
        upkeep.import_file(tmp_path / "e", tmp_path / "j")
    assert contents(tmp_path / "j") == before


def test_a_stream_that_is_there_and_shorter_differs(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    upkeep.export(folder, tmp_path / "e")
    write(tmp_path / "j", template(versions=1))
    with pytest.raises(OpcodeError, match=r"'template/t'.*differs at seq 2"):
        upkeep.import_file(tmp_path / "e", tmp_path / "j")


def test_an_idempotency_key_never_comes_to_stand_for_another_workflow(
    folder: Path, tmp_path: Path
) -> None:
    write(folder, Append("w1", 0, (created("w1", key=("run", "k", "d")),)))
    upkeep.export(folder, tmp_path / "e")
    write(tmp_path / "j", Append("w2", 0, (created("w2", key=("run", "k", "d")),)))
    with pytest.raises(OpcodeError, match="key 'k' was used by w2"):
        upkeep.import_file(tmp_path / "e", tmp_path / "j")


def test_an_import_waits_for_nobody_who_has_the_journal(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    upkeep.export(folder, tmp_path / "e")
    with busy_writer(folder), pytest.raises(JournalLocked):
        upkeep.import_file(tmp_path / "e", folder)


CREATED: dict[str, Any] = {
    "stream": "w",
    "seq": 1,
    "at": 1.0,
    "type": "workflow_created",
    "digest": "",
    "payload": {
        "workflow_id": "w",
        "name": "n",
        "template_name": "t",
        "template_version": "v1",
        "definition_digest": "d",
        "inputs": {},
        "agent_id": "ann",
    },
}
Harm = Callable[[list[bytes], int], list[bytes]]


def _changed(lines: list[bytes], n: int) -> list[bytes]:
    line = lines[n]
    at = len(line) // 2
    return [*lines[:n], line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :], *lines[n + 1 :]]


def _doubled(lines: list[bytes], n: int) -> list[bytes]:
    return [*lines[: n + 1], *lines[n:]]


def _removed(lines: list[bytes], n: int) -> list[bytes]:
    return [*lines[:n], *lines[n + 1 :]]


def _truncated(lines: list[bytes], n: int) -> list[bytes]:
    return [*lines[:n], lines[n][: len(lines[n]) // 2]]


def _ended_before(lines: list[bytes], n: int) -> list[bytes]:
    return lines[:n]


def _swapped(lines: list[bytes], n: int) -> list[bytes]:
    other = (n + 1) % len(lines)
    swapped = list(lines)
    swapped[n], swapped[other] = lines[other], lines[n]
    return swapped


@pytest.mark.parametrize(
    "harm", [_changed, _doubled, _removed, _truncated, _ended_before, _swapped]
)
def test_every_harmed_line_is_refused_by_its_number(
    folder: Path, tmp_path: Path, harm: Harm
) -> None:
    _filled(folder)
    upkeep.export(folder, tmp_path / "e")
    lines = (tmp_path / "e").read_bytes().splitlines(keepends=True)
    for n in range(len(lines)):
        harmed = harm(lines, n)
        (tmp_path / "bad").write_bytes(b"".join(harmed))
        first = next(
            (k for k, pair in enumerate(zip(harmed, lines, strict=False)) if pair[0] != pair[1]),
            None,
        )
        line = 1 + (min(len(harmed), len(lines)) if first is None else first)
        with pytest.raises(OpcodeError, match=f"bad, line {line}: ") as caught:
            upkeep.import_file(tmp_path / "bad", tmp_path / "j")
        assert "nothing was imported" in str(caught.value.next)
        assert not (tmp_path / "j").exists()


def test_a_file_of_another_kind_or_version_is_refused_by_name(tmp_path: Path) -> None:
    header = {"format": "opcode-journal", "version": 1, "events": 1, "release": "9.9"}
    for fields, reason in (
        ({"format": "other"}, "no export"),
        (header | {"version": 2}, "another release \\(9.9\\)"),
        (header | {"events": 7}, "another release"),
    ):
        (tmp_path / "bad").write_bytes(Sums().seal(fields))
        with pytest.raises(OpcodeError, match=f"line 1: .*{reason}"):
            upkeep.import_file(tmp_path / "bad", tmp_path / "j")
    (tmp_path / "bad").write_bytes(b"\x00\xff" * 5000)
    with pytest.raises(OpcodeError, match="line 1: it is cut off"):
        upkeep.import_file(tmp_path / "bad", tmp_path / "j")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stream": "w", "seq": 2}, "seq 1 of the stream is due"),
        ({"stream": ""}, "no stream"),
        (CREATED | {"stream": "other"}, "of workflow 'w'"),
        (CREATED | {"payload": {"workflow_id": "w"}}, "cannot read"),
        (CREATED | {"payload": {"$opcode": ["x"]}}, "marked value"),
        (CREATED, "line 3: the file ends without its trailer"),
        ({"stream": "w", "seq": 1, "payload": {}}, "no event"),
        (
            {"stream": "w", "seq": 1, "payload": {}, "digest": "", "at": 1, "type": "x"},
            "cannot read",
        ),
        ({"stream": "w", "seq": 1, "payload": {}, "digest": ""}, "no event|cannot read"),
        ({"workflows": 1, "streams": 0, "events": 0}, "speaks of 1 workflows"),
        ({"workflows": 0, "streams": 0, "events": 0, "heads": "x"}, "ends of all streams"),
    ],
)
def test_a_line_with_a_right_sum_and_wrong_content_is_refused_too(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    header = {"format": "opcode-journal", "version": 1, "events": 1, "release": "9.9"}
    sums = Sums()
    (tmp_path / "bad").write_bytes(sums.seal(header) + sums.seal(fields))
    with pytest.raises(OpcodeError, match=f"(line 2: .*)?({reason})"):
        upkeep.import_file(tmp_path / "bad", tmp_path / "j")


def test_an_export_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    _filled(folder)
    before = files(folder)
    with pytest.raises(OpcodeError, match="cannot be written"):
        upkeep.export(folder, tmp_path / "no" / "such" / "e")
    assert files(folder) == before
