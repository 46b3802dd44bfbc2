"""The look at the data file's pages before LMDB maps it."""

from __future__ import annotations

import random
import shutil
import struct
from pathlib import Path

import pytest

from opcode_runtime.model import events as ev
from opcode_runtime.storage import Append, Journal, JournalCorrupt, Prune, structure
from opcode_runtime.storage.pages import read_metas
from opcode_runtime.storage.readonly import JournalReader
from opcode_runtime.storage.structure import structure_problem
from tests.storage.histories import completed, created

PAGE_BYTES = 4096


def _write(folder: Path, workflows: int = 150) -> Path:
    """Trees of depth 1 to 3, large values, pages that were given back."""
    with Journal.open(folder) as journal:
        for first in range(0, workflows, 30):
            names = [f"w{n:04}-{'x' * (n % 90)}" for n in range(first, first + 30)]
            journal.append([Append(name, 0, (created(name), completed())) for name in names])
            journal.append([Append(name, 2, (ev.WorkflowCancelled(at=3.0),)) for name in names])
            journal.append([Prune(tuple(names[::3]))])
        journal.append([Append("large", 0, (completed(output="y" * 500_000),))])
        journal.append([Append("large", 1, (completed(output="z" * 20_000),))])
    return folder / "data" / "data.mdb"


@pytest.fixture
def data(folder: Path) -> Path:
    return _write(folder)


def test_what_was_written_is_sound(folder: Path) -> None:
    for seed in range(8):
        chance = random.Random(seed)
        place = folder / str(seed)
        data = place / "data" / "data.mdb"
        seqs: dict[str, int] = {}
        for _ in range(3):
            with Journal.open(place) as journal:
                for _ in range(chance.randrange(1, 30)):
                    name = f"w{chance.randrange(60)}"
                    output = "x" * chance.choice([1, 300, 3000, 9000, 300_000])
                    events = tuple(completed(output=output) for _ in range(chance.randrange(1, 9)))
                    journal.append([Append(name, seqs.get(name, 0), events)])
                    seqs[name] = seqs.get(name, 0) + len(events)
            assert structure_problem(data) is None


def _zeroed(content: bytes, number: int) -> bytes:
    at = number * PAGE_BYTES
    return content[:at] + bytes(PAGE_BYTES) + content[at + PAGE_BYTES :]


def test_a_zeroed_page_is_noticed_unless_it_is_free_or_within_a_large_value(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    sound = data.read_bytes()
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)
    unnoticed = []
    for number in range(len(sound) // PAGE_BYTES):
        data.write_bytes(_zeroed(sound, number))
        if structure_problem(data) is None:
            unnoticed.append(number)
    assert 1 not in unnoticed
    assert 0 < len(unnoticed) < len(sound) // PAGE_BYTES
    data.write_bytes(sound)
    with Journal.open(folder) as journal:
        right = journal.read_all(limit=10_000)
        names = {record.stream for record in right} - {"large"}
    for number in unnoticed[::9]:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        data.write_bytes(_zeroed(sound, number))
        with Journal.open(folder) as journal:
            found = [record for name in names for record in journal.read(name)]
            assert sorted(found, key=lambda record: record.position) == [
                record for record in right if record.stream != "large"
            ]


def test_two_pages_that_changed_places_are_refused_by_number(data: Path, folder: Path) -> None:
    sound = data.read_bytes()
    root = read_metas(data)[0].root
    other = 2 if root != 2 else 3
    hurt = bytearray(sound)
    for one, two in ((root, other), (other, root)):
        hurt[one * PAGE_BYTES : (one + 1) * PAGE_BYTES] = sound[
            two * PAGE_BYTES : (two + 1) * PAGE_BYTES
        ]
    newest = max(read_metas(data), key=lambda meta: meta.transaction).root
    data.write_bytes(hurt)
    if newest in (root, other):
        with pytest.raises(JournalCorrupt, match=f"page {newest} of the table of tables"):
            Journal.open(folder)
        with pytest.raises(JournalCorrupt, match=f"page {newest} of the table of tables"):
            JournalReader.open(folder)


def test_a_count_that_does_not_fit_names_the_table(data: Path, folder: Path) -> None:
    """One entry less than the table says."""
    content = bytearray(data.read_bytes())
    root = max(read_metas(data), key=lambda meta: meta.transaction).root
    at = content.index(b"heads", root * PAGE_BYTES, (root + 1) * PAGE_BYTES) + len(b"heads") + 32
    (entries,) = struct.unpack_from("<Q", content, at)
    struct.pack_into("<Q", content, at, entries + 1)
    data.write_bytes(content)
    with pytest.raises(JournalCorrupt, match=f"'heads' has {entries} entries instead of"):
        Journal.open(folder)


def test_a_page_in_use_that_passes_for_free_is_refused(data: Path, folder: Path) -> None:
    content = bytearray(data.read_bytes())
    meta = max((0, 1), key=lambda n: struct.unpack_from("<Q", content, n * PAGE_BYTES + 144))
    free, used = (struct.unpack_from("<Q", content, meta * PAGE_BYTES + at)[0] for at in (80, 128))
    (node,) = struct.unpack_from("<H", content, free * PAGE_BYTES + 16)
    begin = free * PAGE_BYTES + node + 16
    (count,) = struct.unpack_from("<Q", content, begin)
    numbers = list(struct.unpack_from(f"<{count}Q", content, begin + 8))
    numbers = sorted({*numbers[1:], used}, reverse=True)
    struct.pack_into(f"<{count}Q", content, begin + 8, *numbers)
    data.write_bytes(content)
    with pytest.raises(JournalCorrupt, match="names a page that is in use"):
        Journal.open(folder)


def test_of_a_large_file_only_branch_pages_are_looked_at(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = data.read_bytes()
    flags = [struct.unpack_from("<H", sound, at + 10)[0] for at in range(0, len(sound), PAGE_BYTES)]

    def noticed(kind: int) -> int:
        found = 0
        for number in [n for n, each in enumerate(flags) if each == kind]:
            at = number * PAGE_BYTES
            data.write_bytes(sound[: at + 10] + b"\xff\xff" + sound[at + 12 :])
            found += structure_problem(data) is not None
        data.write_bytes(sound)
        return found

    branches, leaves = noticed(1), noticed(2)
    assert branches
    monkeypatch.setattr(structure, "FILE_BYTES_MAX", 0)
    assert structure_problem(data) is None
    assert noticed(1) == branches
    assert 0 < noticed(2) < leaves
