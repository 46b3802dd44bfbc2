"""A program that exchanges a folder and a link as fast as it can: `path_racer.py FOLDER SWAPS`.

It works in FOLDER, on `d` and `l`. After SWAPS exchanges it makes the file `enough`, and it goes on until there is a
file `stop`; then it prints how many there were.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time

_AT_FDCWD, _EXCHANGE, _EACH = -100, 2, 50
_PAUSE_S = 5e-05


def main() -> None:
    """Exchange until told to stop."""
    os.chdir(sys.argv[1])
    enough, done = int(sys.argv[2]), 0
    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    while not os.path.exists("stop"):
        for _ in range(_EACH):
            if exchange(_AT_FDCWD, b"d", _AT_FDCWD, b"l", _EXCHANGE) != 0:
                sys.exit(f"exchanging failed: {os.strerror(ctypes.get_errno())}")
            until = time.perf_counter() + _PAUSE_S
            while time.perf_counter() < until:
                pass
        done += _EACH
        if done >= enough and not os.path.exists("enough"):
            os.close(os.open("enough", os.O_CREAT))
    sys.stdout.write(str(done))


if __name__ == "__main__":
    main()
