"""Denied places stay denied where they, or parts of them, are mounted a second time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.escape.path_mounts import PLACES

pytestmark = pytest.mark.needs("unshare")
PARTS = {"a part of the data directory", "a part of a part", "a file of the data directory"}
"""What only the names of mounts tell; all else is known by what it is, too."""
NAMESPACE = ["unshare", "-m", *([] if os.geteuid() == 0 else ["-Ur"])]


def skip_without_namespaces() -> None:
    """Some machines do not let their users have namespaces."""
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return
    if os.environ.get("OPCODE_CI") == "full":
        pytest.fail(f"OPCODE_CI=full demands mount namespaces: {tried.stderr}", pytrace=False)
    pytest.skip(f"no mount namespaces: {tried.stderr}")


def test_what_is_mounted_a_second_time_is_as_denied_as_before(tmp_path: Path) -> None:
    skip_without_namespaces()
    program = [sys.executable, "-m", "tests.escape.path_mounts", str(tmp_path)]
    done = subprocess.run(
        [*NAMESPACE, *program],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "opcode")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name in PLACES:
        assert found[name]["off"]["escaped"], f"{name} proves nothing"
        assert found[name]["on"]["code"] == "PATH_DENIED", found[name]
        assert found[name]["nameless"]["escaped"] == (name in PARTS), found[name]
    assert found["another file system"]["escaped"]
