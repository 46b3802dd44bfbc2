"""Run as `python -m drills.planted`."""

import sys

from drills.planted.drill import main

sys.exit(main(sys.argv[1:]))
