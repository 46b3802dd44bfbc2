"""What is sound comes out of a damaged store, and what is not is named; nothing wrong ever comes out."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from opcode_runtime import upkeep
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import Append, Journal, JournalLocked, Prune, Pruned
from opcode_runtime.storage.pages import PageFile
from tests.storage.histories import completed, created, files
from tests.upkeep.stores import busy_writer, contents, ended, template, waiting, write

PAGE = 4096


def _filled(folder: Path, count: int = 60) -> dict[str, list[str]]:
    write(folder, template(), *(waiting(f"w{n:02}") for n in range(count)))
    write(folder, Append("big", 0, (created("big"), completed(output={"x": "y" * 400_000}))))
    return contents(folder)


def _saved(tmp_path: Path, folder: Path) -> tuple[dict[str, list[str]], upkeep.Exported]:
    """What a salvage brings into a new journal."""
    exported = upkeep.salvage(folder, tmp_path / "s")
    target = tmp_path / f"saved{random.getrandbits(40)}"
    upkeep.import_file(tmp_path / "s", target, resume=True, with_cut=True)
    return contents(target), exported


def test_a_sound_store_is_salvaged_whole(folder: Path, tmp_path: Path) -> None:
    whole = _filled(folder)
    before = files(folder)
    saved, exported = _saved(tmp_path, folder)
    assert saved == whole
    assert (exported.lost, exported.notices) == ([], [])
    assert files(folder) == before


def test_a_changed_record_costs_what_follows_in_its_workflow_alone(
    folder: Path, tmp_path: Path
) -> None:
    whole = _filled(folder)
    data = folder / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"needle-w07", b"nEedle-w07"))
    saved, exported = _saved(tmp_path, folder)
    [lost] = exported.lost
    assert (lost.stream, lost.saved) == ("w07", 3)
    assert lost.problem.startswith("seq 4 of 8 is missing")
    assert saved.pop("w07") == whole.pop("w07")[:3]
    assert saved == whole


def test_a_workflow_that_was_cut_is_imported_only_when_asked_for(
    folder: Path, tmp_path: Path
) -> None:
    _filled(folder, 3)
    data = folder / "data" / "data.mdb"
    data.write_bytes(data.read_bytes().replace(b"needle-w01", b"nEedle-w01"))
    upkeep.salvage(folder, tmp_path / "s")
    done = upkeep.import_file(tmp_path / "s", tmp_path / "j")
    assert done.left_out == ["w01"]
    assert "w01" not in contents(tmp_path / "j")
    assert upkeep.import_file(tmp_path / "s", tmp_path / "k", with_cut=True).left_out == []


def _zero(data: bytearray, at: int) -> None:
    data[at : at + PAGE] = bytes(PAGE)


@pytest.mark.parametrize("table", ["heads", "index", "workflows", "records", "meta"])
def test_a_lost_root_page_of_any_table_loses_no_workflow(
    folder: Path, tmp_path: Path, table: str
) -> None:
    whole = _filled(folder)
    with PageFile.open(folder / "data" / "data.mdb") as pages:
        found = pages.table(table.encode())
        assert found is not None
    data = bytearray((folder / "data" / "data.mdb").read_bytes())
    _zero(data, found.root * PAGE)
    (folder / "data" / "data.mdb").write_bytes(data)
    assert not upkeep.verify(folder).sound
    saved, exported = _saved(tmp_path, folder)
    one_leaf = table in {"heads", "meta"}
    assert saved == whole or one_leaf
    assert saved.items() >= {k: v for k, v in whole.items() if k.startswith("w")}.items()
    assert exported.lost == []


def test_without_any_meta_page_everything_is_found_by_looking_everywhere(
    folder: Path, tmp_path: Path
) -> None:
    whole = _filled(folder)
    data = bytearray((folder / "data" / "data.mdb").read_bytes())
    _zero(data, 0)
    _zero(data, PAGE)
    (folder / "data" / "data.mdb").write_bytes(data)
    saved, exported = _saved(tmp_path, folder)
    assert saved == whole
    assert any("pruned" in notice for notice in exported.notices)


def test_half_a_file_gives_what_is_in_that_half(folder: Path, tmp_path: Path) -> None:
    whole = _filled(folder)
    data = folder / "data" / "data.mdb"
    os.truncate(data, data.stat().st_size // 2)
    saved, exported = _saved(tmp_path, folder)
    assert exported.lost
    for stream, events in saved.items():
        assert whole[stream][: len(events)] == events


def test_what_was_pruned_stays_gone_while_the_list_of_streams_is_whole(
    folder: Path, tmp_path: Path
) -> None:
    write(folder, template(), ended("gone"), waiting("w1"), waiting("w2"))
    with Journal.open(folder) as journal:
        assert isinstance(journal.append([Prune(("gone",))])[0], Pruned)
    data = folder / "data" / "data.mdb"
    assert b"needle-w1" in data.read_bytes()
    data.write_bytes(data.read_bytes().replace(b"needle-w1", b"nEedle-w1"))
    saved, exported = _saved(tmp_path, folder)
    assert set(saved) == {"template/t", "w1", "w2"}
    assert [each.stream for each in exported.lost] == ["w1"]


def test_one_workflow_is_salvaged_alone(folder: Path, tmp_path: Path) -> None:
    _filled(folder, 5)
    upkeep.salvage(folder, tmp_path / "s", "w03")
    lines = [json.loads(line) for line in (tmp_path / "s").read_text().splitlines()]
    assert {line["stream"] for line in lines[1:-1]} == {"template/t", "w03"}
    assert lines[0]["salvaged"] is True


def test_a_salvage_waits_until_the_daemon_is_stopped(folder: Path, tmp_path: Path) -> None:
    write(folder, waiting("w1"), Append("busy", 0, (completed(),)))
    with busy_writer(folder), pytest.raises(JournalLocked, match="a daemon writes"):
        upkeep.salvage(folder, tmp_path / "s")


def test_where_there_is_no_file_there_is_nothing_to_salvage(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OpcodeError, match="cannot be read"):
        upkeep.salvage(folder, tmp_path / "s")


def test_whatever_is_damaged_only_what_was_written_comes_out(folder: Path, tmp_path: Path) -> None:
    """Bit flips, zeroed sectors and swapped pages at random places, from one seed."""
    whole = _filled(folder, 40)
    path = folder / "data" / "data.mdb"
    sound = path.read_bytes()
    draw = random.Random(7)
    untouched = sound_saved = 0
    for _ in range(40):
        data = bytearray(sound)
        kind = draw.randrange(3)
        at = draw.randrange(len(data))
        if kind == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[at // 512 * 512 : at // 512 * 512 + 512] = bytes(512)
        else:
            one, other = (draw.randrange(len(data) // PAGE) * PAGE for _ in range(2))
            data[one : one + PAGE], data[other : other + PAGE] = (
                data[other : other + PAGE],
                data[one : one + PAGE],
            )
        path.write_bytes(data)
        exported = upkeep.salvage(folder, tmp_path / "s")
        saved: dict[str, int] = {}
        for line in (tmp_path / "s").read_text().splitlines()[1:-1]:
            fields = json.loads(line)
            saved[fields["stream"]] = fields["seq"]
        lost = {each.stream for each in exported.lost}
        assert all(len(whole[stream]) >= seq for stream, seq in saved.items())
        short = {s for s in whole if saved.get(s, 0) < len(whole[s])}
        if exported.notices != [] and "list of streams" in exported.notices[-1]:
            lost |= short  # nothing is left that could tell
        assert short <= lost
        untouched += len(whole)
        sound_saved += len(whole) - len(short)
    assert sound_saved / untouched > 0.9
