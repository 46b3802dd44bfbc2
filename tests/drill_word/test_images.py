"""Images of a journal, and what a power loss leaves of a commit."""

from __future__ import annotations

from pathlib import Path

from opcode_runtime.drill.images import Image, Reel, torn, unnoted, unsynced
from opcode_runtime.model.events import AgentSeen
from opcode_runtime.storage import Append, Journal


def filmed(folder: Path, commits: int) -> tuple[Reel, list[Image]]:
    """A journal of some commits with an image of each moment."""
    with Journal.open(folder) as journal:
        images = [Image.of(folder)]
        reel = Reel.starting(images[0])
        for number in range(commits):
            journal.append([Append("agent/a", number, (AgentSeen(at=1.0, agent_id="a"),))])
            images.append(Image.of(folder))
            reel.add(images[-1])
    return reel, images


def seqs(image: Image, folder: Path) -> int:
    """How many events a journal made of an image holds; it must be sound."""
    image.write(folder)
    with Journal.open(folder) as journal:
        assert journal.verify() == []
        return journal.head("agent/a")[0]


def test_a_reel_gives_every_image_back(tmp_path: Path) -> None:
    reel, images = filmed(tmp_path / "j", 12)
    for number in (0, 12, 3, 4, 11, 1):
        assert reel.at(number) == images[number]


def test_what_a_commit_leaves_half_written_holds_all_commits_before_it(tmp_path: Path) -> None:
    reel, _ = filmed(tmp_path / "j", 8)
    for number in range(1, 8):
        left = torn(reel, number, number + 1, f"torn@{number}")
        assert left.data != reel.at(number).data
        assert seqs(left, tmp_path / f"torn{number}") == number
        lost = unsynced(reel, number, number + 1, max(0, number - 3), f"lost@{number}")
        assert seqs(lost, tmp_path / f"lost{number}") == number


def test_a_commit_that_its_witness_has_not_heard_of_stands(tmp_path: Path) -> None:
    reel, _ = filmed(tmp_path / "j", 4)
    left = unnoted(reel, 3, 4)
    assert left.files["witness"] == reel.at(3).files["witness"] != reel.at(4).files["witness"]
    assert seqs(left, tmp_path / "after") == 4


def test_the_same_cut_leaves_the_same(tmp_path: Path) -> None:
    reel, _ = filmed(tmp_path / "j", 4)
    assert torn(reel, 2, 3, "torn@3") == torn(reel, 2, 3, "torn@3")
    assert unsynced(reel, 2, 3, 0, "lost@3") == unsynced(reel, 2, 3, 0, "lost@3")
