"""The child of `children`: one task, then the end. Run as `python -m opcode_runtime.upkeep.child TASK`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.storage import JournalCorrupt
from opcode_runtime.storage.readonly import JournalReader

Say = Callable[[dict[str, Any]], None]


def say(message: dict[str, Any]) -> None:
    """One line to the parent, at once: the next moment may be the last."""
    os.write(1, json.dumps(message).encode() + b"\n")


def _verify(arguments: dict[str, Any]) -> Any:
    from opcode_runtime.upkeep.checking import check

    skip = frozenset(bytes.fromhex(key) for key in arguments["skip"])
    return check(Path(arguments["directory"]), skip, say)


def _copy(arguments: dict[str, Any]) -> Any:
    from opcode_runtime.upkeep.copying import copy_store

    return copy_store(Path(arguments["directory"]), Path(arguments["target"]))


def _export(arguments: dict[str, Any]) -> Any:
    from opcode_runtime.upkeep.exporting import write_export

    def progress(done: int, of: int) -> None:
        say({"done": done, "of": of})

    with JournalReader.open(Path(arguments["directory"])) as reader:
        target, draft = Path(arguments["target"]), Path(arguments["draft"])
        return write_export(reader, target, draft, arguments["workflow_id"], progress)


TASKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "verify": _verify,
    "copy": _copy,
    "export": _export,
}


def main() -> int:
    """Do the task that the command line names, with the arguments on standard input."""
    arguments = json.load(sys.stdin)
    try:
        say({"result": TASKS[sys.argv[1]](arguments)})
    except OpcodeError as error:
        say({"error": _as_json(error)})
    return 0


def _as_json(error: OpcodeError) -> dict[str, Any]:
    details = error.details
    if isinstance(error, JournalCorrupt):
        details = {"stream": error.stream, "seq": error.seq, "problem": error.reason}
    return {
        "code": error.code.value,
        "message": error.message,
        "details": details,
        "next": error.next,
    }


if __name__ == "__main__":
    sys.exit(main())
