"""The other names that mounts give to a place."""

from __future__ import annotations

import pytest

from opcode_runtime.actions.mounts import aliases, mount_table, parse_mounts

TABLE = parse_mounts(
    "\n".join(
        [
            "20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw",
            "21 20 0:5 / /proc rw - proc proc rw",
            "22 20 8:1 /home/me/data /mnt/data rw shared:7 - ext4 /dev/sda1 rw",
            "23 20 8:1 /home/me /mnt/me rw shared:8 master:2 - ext4 /dev/sda1 rw",
            "24 20 8:1 /home/me/data/journal /mnt/with\\040space rw - ext4 /dev/sda1 rw",
            "25 20 8:2 /home /mnt/foreign rw - xfs /dev/sdb1 rw",
            "26 20 8:1 /home/me/data /mnt/hidden rw - ext4 /dev/sda1 rw",
            "27 20 0:9 / /mnt/hidden rw - tmpfs tmpfs rw",
            "28 20 0:6 / /other/proc rw - proc proc rw",
        ]
    )
)


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("/home/me/data", {"/mnt/data", "/mnt/me/data", "/mnt/with space"}),
        ("/home/me/data/token", {"/mnt/data/token", "/mnt/me/data/token"}),
        (
            "/mnt/me/data/journal",
            {"/home/me/data/journal", "/mnt/data/journal", "/mnt/with space"},
        ),
        ("/home/meadow", set()),
        ("/mnt/foreign/me", set()),
        ("/mnt/hidden/x", set()),
        ("/home/you", set()),
    ],
)
def test_a_place_has_the_names_of_all_its_mounts(path: str, others: set[str]) -> None:
    assert aliases(path, TABLE) == others


def test_file_systems_of_the_kernel_are_found_wherever_they_are() -> None:
    assert TABLE.points_of(frozenset({"proc"})) == ["/proc", "/other/proc"]


def test_the_table_stays_the_same_object_while_nothing_is_mounted() -> None:
    assert mount_table() is mount_table()
    assert "/" in {mount.point for mount in mount_table().mounts}
