"""I-X4 `path_contained`: whatever links there are, a path is opened where the system says it leads, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opcode_runtime.actions import ActionSettings, Call, beneath
from opcode_runtime.actions.beneath import kernel_beneath, walk_beneath
from opcode_runtime.actions.paths import Fence
from opcode_runtime.model.errors import ErrorCode, OpcodeError

UNHURRIED = settings(deadline=None)
PARTS = st.sampled_from(["a", "b", "c", "in", "out", "file", "..", ".", "", "none"])
PATHS = st.lists(PARTS, min_size=1, max_size=8).map("/".join).filter(bool)
PLACES = ["in/a", "in/a/b", "in/c", "out/a", "out/b", "in/b", "in/a/c"]
LINKS = st.dictionaries(
    st.sampled_from(PLACES), st.tuples(st.booleans(), PATHS), min_size=1, max_size=5
)


def build(top: Path, links: dict[str, tuple[bool, str]]) -> None:
    """Folders with a file each, and links between them that are absolute or relative."""
    for name in ("in", "out"):
        (top / name).mkdir()
    for name in sorted(PLACES):
        place = top / name
        if not is_folder(place.parent):
            continue
        if name in links:
            absolute, target = links[name]
            place.symlink_to(f"{top}/{target}" if absolute else target)
        else:
            place.mkdir()
    for name in ("in", "out", *PLACES):
        if is_folder(top / name):
            (top / name / "file").write_text(name.split("/")[0])


def is_folder(path: Path) -> bool:
    """Whether it is a folder, and no link leads to it."""
    try:
        return os.path.realpath(path, strict=True) == str(path)
    except OSError:
        return False


@pytest.mark.parametrize("opener", [kernel_beneath, walk_beneath])
@UNHURRIED
@given(links=LINKS, path=PATHS)
@example(links={"in/a": (True, "out")}, path="a/file")
@example(links={"in/a": (False, "../out"), "out/a": (False, "../in")}, path="a/a/file")
@example(links={"in/a": (False, "a")}, path="a")
@example(links={"in/a": (False, "a")}, path="a/..")
@example(links={"in/a": (False, "in/../a")}, path="a")
def test_path_contained_and_it_leads_where_the_system_says(
    opener: beneath.Opener, links: dict[str, tuple[bool, str]], path: str
) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(beneath, "_opener", lambda: opener)
        top = Path(os.path.realpath(name))
        build(top, links)
        call = Call(cwd=top / "in", settings=ActionSettings(writable_paths=(str(top / "in"),)))
        with Fence(call) as fence:
            check_one(fence, top, path)


def check_one(fence: Fence, top: Path, path: str) -> None:
    """Resolve and open one path."""
    real, found = Path(os.path.realpath(top / "in" / path)), resolved(fence, path)
    inside = real.is_relative_to(top / "in")
    if found is None:
        # A circle of links leads nowhere, also when there is a way back behind it.
        assert not inside or not os.path.exists(top / "in" / path)
        return
    assert found.is_relative_to(top / "in")
    assert found == real or not real.exists()
    if not real.is_file():
        with pytest.raises(OSError, match=r"^\[Errno"):
            fence.open_for_reading(found)
        return
    with open(fence.open_for_reading(found)) as file:
        assert file.read() == "in"


def resolved(fence: Fence, path: str) -> Path | None:
    """Where a path leads; None when that is denied."""
    try:
        return fence.resolve(path, "read")
    except OpcodeError as error:
        if error.code is not ErrorCode.PATH_DENIED:
            raise
        return None
