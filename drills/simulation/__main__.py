"""Run as `python -m drills.simulation`."""

import sys

from drills.simulation.drill import main

sys.exit(main())
