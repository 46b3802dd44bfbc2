"""Which file system a path lies on, by the text of /proc/self/mountinfo."""

from __future__ import annotations

from pathlib import Path

import pytest

from opcode_runtime.storage.mounts import mount_in, mount_of

TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:30 / /home rw,relatime shared:1 - nfs4 server:/home rw,vers=4.2
31 30 0:31 / /home/ann/local rw - xfs /dev/vdb rw
32 27 0:32 / /mnt/with\\040blank ro,relatime master:2 propagate_from:1 - 9p share rw
33 27 0:33 / /mnt/remote rw - fuse.sshfs ann@host:/ rw
34 27 0:34 / /mnt/disk rw - fuse.ntfs-3g /dev/sdc1 rw
35 27 0:35 / /mnt/covered rw - cifs //a/b rw
36 27 0:36 / /mnt/covered rw - btrfs /dev/vdd rw
a line that means nothing
"""


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/var/lib/x", "ext4", False),
        ("/", "ext4", False),
        ("/home", "nfs4", True),
        ("/home/ann/.opcode", "nfs4", True),
        ("/home/ann/local/x", "xfs", False),
        ("/homestead", "ext4", False),
        ("/mnt/with blank/x", "9p", True),
        ("/mnt/remote/x", "fuse.sshfs", True),
        ("/mnt/disk/x", "fuse.ntfs-3g", False),
        ("/mnt/covered/x", "btrfs", False),
    ],
)
def test_the_mount_of_a_path_is_the_nearest_and_the_latest(
    path: str, kind: str, network: bool
) -> None:
    mount = mount_in(TABLE, Path(path))
    assert mount is not None
    assert (mount.kind, mount.is_network) == (kind, network)


@pytest.mark.parametrize("kind", ["nfs", "cifs", "smb3", "ceph", "fuse.glusterfs", "fuse.rclone"])
def test_every_network_file_system_is_known_as_one(kind: str) -> None:
    mount = mount_in(f"1 0 0:1 / / rw - {kind} x rw", Path("/x"))
    assert mount is not None
    assert mount.is_network


def test_a_read_only_mount_says_so_and_an_empty_table_says_nothing() -> None:
    mount = mount_in(TABLE, Path("/mnt/with blank"))
    assert mount is not None
    assert mount.read_only
    assert mount_in("", Path("/x")) is None


def test_a_real_path_that_does_not_exist_lies_where_its_parent_does(tmp_path: Path) -> None:
    assert mount_of(tmp_path / "no" / "such") == mount_of(tmp_path)
