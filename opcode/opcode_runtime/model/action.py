"""What the engine has to know of an action before it runs: its kind, its parameters, what an interruption means."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

ActionKind = Literal["pure", "read_only", "effectful"]
InterruptPolicy = Literal["retry", "ask", "fail"]


class ActionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """The public face of an action, shown to agents and used by `define`.

    Arguments:
        name: dotted, such as `http.get`.
        kind: `pure` (no effect outside, bounded), `read_only` (looks, never changes), `effectful`.
        params: JSON Schema (2020-12) of the parameters; unknown parameters are warnings unless it says otherwise.
        output: JSON Schema of the output.
        on_interrupt: what happens to an attempt that was running at a crash; None means the general rule: `retry` for
            pure and read-only actions, and for others when the step has a `retry` policy or is idempotent, else `ask`.
        timeout_s: the action's own deadline per attempt when the step gives none.
    """

    name: str
    kind: ActionKind
    description: str = ""
    params: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    on_interrupt: InterruptPolicy | None = None
    timeout_s: float | None = None
