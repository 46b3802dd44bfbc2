"""How full the journal is.

The map is as full as the pages that its tables hold: pages that were given back stand in the file and are used again,
so the size of the file says nothing.
"""

from __future__ import annotations

import msgspec

from opcode_runtime.storage.tables import Tables, Txn


class Pressure(msgspec.Struct, frozen=True):
    """How full the journal is.

    Arguments:
        map_used: share of the map that is in use, 0 to 1.
        free_bytes: what the file system still has for us.
    """

    map_used: float
    free_bytes: int


def used_bytes(txn: Txn, tables: Tables) -> int:
    """Bytes of all pages that hold something."""
    stats = [txn.stat(table) for table in vars(tables).values()]
    return sum(
        (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"]
        for stat in stats
    )
