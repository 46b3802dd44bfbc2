"""Crash-recovery drills of a user's own workflows: cut at every commit, compare with the uninterrupted twin.

`drill` makes one and gives a `Report`. What is drilled is a `Scene`: a `Subject` (from a file's JSON by `subject_of`,
from a journal by `subject_from_journal`) with its settings and stand-ins.
"""

from opcode_runtime.drill.drilling import LIMIT_S, REAL_CUTS, Options, drill
from opcode_runtime.drill.life import Scene, scene_settings
from opcode_runtime.drill.recording import Recording, recorded
from opcode_runtime.drill.report import Kind, Outcome, Report, Verdict
from opcode_runtime.drill.source import recording_from_journal, subject_from_journal
from opcode_runtime.drill.stand_ins import StandIns, stand_ins_from
from opcode_runtime.drill.subject import Defined, DrillError, Subject, subject_of

__all__ = [
    "LIMIT_S",
    "REAL_CUTS",
    "Defined",
    "DrillError",
    "Kind",
    "Options",
    "Outcome",
    "Recording",
    "Report",
    "Scene",
    "StandIns",
    "Subject",
    "Verdict",
    "drill",
    "recorded",
    "recording_from_journal",
    "scene_settings",
    "stand_ins_from",
    "subject_from_journal",
    "subject_of",
]
