"""Ids of workflows: never the same twice, in no process."""

from __future__ import annotations

import os
import re

from opcode_runtime.engine.workflow_ids import new_workflow_id


def test_ids_are_hex_and_never_the_same() -> None:
    ids = [new_workflow_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


def test_a_forked_process_draws_ids_of_its_own() -> None:
    new_workflow_id()  # now some are drawn and not given out
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, "".join(new_workflow_id() for _ in range(300)).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    theirs = {text[at : at + 32] for at in range(0, len(text), 32)}
    ours = {new_workflow_id() for _ in range(300)}
    assert len(theirs) == len(ours) == 300
    assert not ours & theirs
