"""The process of the zombie writer; run by zombie.py.

It reads folders from standard input, one a line, opens the journal in each, and closes it again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from opcode_runtime.storage import Journal, JournalError


def main() -> None:
    """Serve until standard input ends."""
    for line in sys.stdin:
        try:
            Journal.open(Path(line.rstrip("\n"))).close()
            answer = "done"
        except JournalError as error:
            answer = str(error).replace("\n", " ")
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
