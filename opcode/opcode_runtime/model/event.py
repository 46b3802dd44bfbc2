"""What all events share."""

from __future__ import annotations

from typing import Literal

import msgspec

SkipReason = Literal[
    "guard", "dependency", "unused_fallback", "race_lost", "cancelled", "signal", "workflow_ended"
]
SuspendReason = Literal["decision", "child", "timeout", "recovery", "pause"]
ResumeReason = Literal["decision", "child", "restart", "signal", "timeout"]
Destination = Literal["inbox", "context"]
AgentType = Literal["llm", "human", "system", "service"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", kw_only=True):
    """What all events share."""

    at: float
