"""The enumerator of crash states: few states of a real life, and faults that it must find."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from drills.crash_states.disk import Disk, Moment, State, image_of, patched, states_of
from drills.crash_states.drill import Recording, check_state, record
from drills.crash_states.trace import (
    Acknowledge,
    Make,
    Operation,
    Rename,
    Sync,
    Trace,
    TraceError,
    Write,
)

ROOT = "/disk"


def images(operations: list[Operation]) -> list[dict[str, bytes | None]]:
    """Every different image after `operations` and a power failure."""
    import random

    moment = list(Disk(ROOT).play(operations))[-1]
    return _different(moment, states_of(moment, random.Random(1)))


def _different(moment: Moment, states: object) -> list[dict[str, bytes | None]]:
    found: list[dict[str, bytes | None]] = []
    for state, _ in zip(states, range(300), strict=False):  # type: ignore[call-overload]
        image = image_of(moment, state)
        if image not in found:
            found.append(image)
    return found


def test_what_is_synced_is_there_and_what_is_not_may_be() -> None:
    operations: list[Operation] = [
        Make(f"{ROOT}/a"),
        Write(f"{ROOT}/a", 0, b"kept", durable=False),
        Sync(f"{ROOT}/a"),
        Sync(ROOT),
        Write(f"{ROOT}/a", 4, b"lost?", durable=False),
    ]
    assert {image["a"] for image in images(operations)} == {
        b"kept",
        b"keptlost?",
        b"kept\0\0\0\0\0",
    }


def test_a_name_is_not_durable_before_its_folder_is_synced() -> None:
    operations: list[Operation] = [
        Make(f"{ROOT}/a"),
        Write(f"{ROOT}/a", 0, b"x", durable=False),
        Sync(f"{ROOT}/a"),
        Rename(f"{ROOT}/a", f"{ROOT}/b"),
    ]
    assert {frozenset(image) for image in images(operations)} == {
        frozenset(),
        frozenset({"a"}),
        frozenset({"b"}),
    }
    after = images([*operations, Sync(ROOT)])
    assert after == [{"b": b"x"}]


def test_a_page_is_torn_between_sectors_and_never_within_one() -> None:
    page = bytes([1]) * 4096
    operations: list[Operation] = [Make(f"{ROOT}/a"), Sync(ROOT)]
    moment = list(Disk(ROOT).play([*operations, Write(f"{ROOT}/a", 0, page, durable=False)]))[-1]
    ((number, (_, pending)),) = moment.files.items()
    assert len(pending) == 1
    torn = image_of(moment, State(frozenset({(number, 0, 0b101)}), frozenset()))["a"]
    assert torn is not None
    assert torn == bytes([1]) * 512 + bytes(512) + bytes([1]) * 512 + bytes(4096 - 3 * 512)


def test_a_write_that_syncs_is_durable_when_it_returns_and_settles_nothing_else() -> None:
    operations: list[Operation] = [
        Make(f"{ROOT}/a"),
        Sync(ROOT),
        Write(f"{ROOT}/a", 0, b"data", durable=False),
        Write(f"{ROOT}/a", 4, b"meta", durable=True),
    ]
    found = {image["a"] for image in images(operations)}
    assert found == {b"datameta", b"\0\0\0\0meta"}


def test_a_log_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    name = "".join(f"\\x{byte:02x}" for byte in b"/disk/a")
    opened = f'openat(AT_FDCWD, "{name}", O_RDWR|O_CREAT, 0600) = 7\n'
    log.write_text(opened + "fallocate(7, 0, 0, 10) = 0\n")
    with pytest.raises(TraceError, match="fallocate"):
        Trace(Path(ROOT), tmp_path / "marks").read(log)
    log.write_text(opened + 'pwrite64(7, "\\x61"..., 9, 0) = 9\n')
    with pytest.raises(TraceError, match="cut off"):
        Trace(Path(ROOT), tmp_path / "marks").read(log)
    log.write_text("fsync(7 <unfinished ...>\n")
    with pytest.raises(TraceError, match="overlap"):
        Trace(Path(ROOT), tmp_path / "marks").read(log)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A life of the smallest workload, recorded."""
    return record(tmp_path_factory.mktemp("recorded") / "flat", "flat")


def checked(recording: Recording, moments: list[Moment], folder: Path, each: int) -> list[str]:
    """What is wrong with the first states of moments."""
    import random

    done: Counter[str] = Counter()
    problems = []
    for moment in moments:
        states = states_of(moment, random.Random(1))
        for state, _ in zip(states, range(each), strict=False):
            problems.append(check_state(recording, moment, state, folder / "journal", done))
    return [problem for problem in problems if problem]


@pytest.mark.needs("strace")
def test_every_state_of_a_recorded_life_opens_with_all_that_was_acknowledged(
    recording: Recording, tmp_path: Path
) -> None:
    assert recording.acknowledged[-1] == len(recording.told) > 20
    assert checked(recording, recording.moments[::9], tmp_path, 3) == []


@pytest.mark.needs("strace")
def test_a_torn_meta_page_is_found(recording: Recording, tmp_path: Path) -> None:
    """Both meta pages cut in the middle: no disk that keeps sectors whole does that."""
    moment = recording.moments[-1]
    files = {
        number: (_without_metas(durable), pending)
        for number, (durable, pending) in moment.files.items()
    }
    damaged = Moment(moment.number, moment.acknowledged, files, moment.folders, moment.links)
    assert len(checked(recording, [damaged], tmp_path, 2)) == 2


def _without_metas(content: bytes) -> bytes:
    if len(content) < 8192 or b"\xde\xc0\xef\xbe" not in content[:64]:
        return content
    torn = bytearray(content)
    for page in (0, 4096):
        torn[page + 100 : page + 160] = bytes(60)
    return bytes(torn)


@pytest.mark.needs("strace")
def test_a_promise_that_is_not_on_disk_is_found(recording: Recording, tmp_path: Path) -> None:
    """An acknowledgement that comes a commit too early is an event lost."""
    early = Recording(
        recording.workload,
        recording.moments,
        recording.told,
        [0, *recording.acknowledged[2:], len(recording.told)],
        recording.ends,
    )
    assert any(
        "acknowledged" in problem for problem in checked(early, early.moments[-9:], tmp_path, 3)
    )


@pytest.mark.needs("strace")
def test_a_journal_that_syncs_nothing_is_found(recording: Recording, tmp_path: Path) -> None:
    import random

    data = max(recording.moments[-1].files.items(), key=lambda file: len(file[1][0]))
    lost = 0
    for moment in recording.moments[-20:]:
        number = data[0]
        if number not in moment.files or not moment.acknowledged:
            continue
        content, pending = moment.files[number]
        half = patched(content, [])[: len(content) // 2]
        files = {**moment.files, number: (half, pending)}
        cut = Moment(moment.number, moment.acknowledged, files, moment.folders, moment.links)
        state = next(states_of(cut, random.Random(1)))
        lost += bool(check_state(recording, cut, state, tmp_path / "journal", Counter()))
    assert lost > 0


def test_marks_count_as_acknowledgements() -> None:
    moments = list(Disk(ROOT).play([Acknowledge("[]"), Acknowledge("[]")]))
    assert [moment.acknowledged for moment in moments] == [0, 1, 2]
