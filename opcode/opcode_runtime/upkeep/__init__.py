"""What an operator does with a journal: verify, replay, back up, restore, export, import, look after.

All of it is synchronous, and needs no daemon. `verify`, `replay`, `backup` and `export` only read, whether a daemon
runs or not; `restore`, `import_file`, `prune` and `salvage` need it stopped.
"""

from opcode_runtime.upkeep.backup import UNFINISHED, Copied, backup, restore
from opcode_runtime.upkeep.children import Progress
from opcode_runtime.upkeep.doctor import Check, examine, isolation_of
from opcode_runtime.upkeep.exporting import Exported, Lost, export
from opcode_runtime.upkeep.importing import Imported, import_file
from opcode_runtime.upkeep.pruning import PrunedWorkflows, prune
from opcode_runtime.upkeep.replay import Change, Replayed, Step, diff, open_reader, replay
from opcode_runtime.upkeep.salvage import salvage
from opcode_runtime.upkeep.verify import Problem, Verdict, verify

__all__ = [
    "UNFINISHED",
    "Change",
    "Check",
    "Copied",
    "Exported",
    "Imported",
    "Lost",
    "Problem",
    "Progress",
    "PrunedWorkflows",
    "Replayed",
    "Step",
    "Verdict",
    "backup",
    "diff",
    "examine",
    "export",
    "import_file",
    "isolation_of",
    "open_reader",
    "prune",
    "replay",
    "restore",
    "salvage",
    "verify",
]
