"""`python -m opcode_runtime` is the command line `opcode`."""

import sys

from opcode_runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
