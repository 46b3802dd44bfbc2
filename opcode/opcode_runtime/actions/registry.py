"""Actions and where they are found by name. Built-ins, plugins and embedders use the same decorator."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from opcode_runtime.actions.call import Call
from opcode_runtime.actions.settings import ActionSettings
from opcode_runtime.model.action import ActionKind, ActionSpec, InterruptPolicy
from opcode_runtime.model.errors import ErrorCode, OpcodeError

Params = dict[str, Any]
ActionFunction = Callable[[Params, Call], Any] | Callable[[Params, Call], Awaitable[Any]]
InterruptRule = Callable[[Params], InterruptPolicy | None]
IsolationRule = Callable[[ActionSettings, str | None], str]

TARGET_CHARACTERS_MAX = 256
_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Action:
    """A function with its public face.

    Arguments:
        spec: what `define` and agents see.
        fn: `async def f(params, call)`, or a plain `def` when the action is pure.
        target: from the parameters, what the circuit breaker counts by beside the name: `host:port`, a command,
            a plugin's name. Without it all attempts of the action share one breaker.
        interrupt_rule: decides by the parameters what an interruption means, where `spec.on_interrupt` cannot.
        isolation: what an attempt will be held to, from the settings and what the definition demands; raises
            OpcodeError when it cannot be had. Only for actions that run foreign code.
    """

    spec: ActionSpec
    fn: ActionFunction
    target: Callable[[Params], str] | None = None
    interrupt_rule: InterruptRule | None = None
    isolation: IsolationRule | None = None
    is_async: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.fn))

    @property
    def name(self) -> str:
        """The dotted name."""
        return self.spec.name

    @property
    def in_place(self) -> bool:
        """Whether it may run inside a turn of its workflow: pure, and without anything to wait for."""
        return self.spec.kind == "pure" and not self.is_async

    def __call__(self, params: Params, call: Call) -> Any:
        """Call the function as it was written; `perform` is what checks parameters and deadlines."""
        return self.fn(params, call)

    def target_of(self, params: Params) -> str | None:
        """What the circuit breaker counts by beside the name; None when the parameters do not say.

        Parameters come as resolved, before they are checked: whatever `target` raises over them means None.
        """
        if self.target is None:
            return None
        try:
            found: object = self.target(params)
        except Exception:  # a boundary: the function is the author's, and only names something
            return None
        return found[:TARGET_CHARACTERS_MAX] if isinstance(found, str) and found else None

    def on_interrupt(self, params: Params) -> InterruptPolicy | None:
        """What an interruption of an attempt with these parameters means; None is the general rule."""
        if self.interrupt_rule is None:
            return self.spec.on_interrupt
        return self.interrupt_rule(params)


class Registry:
    """The actions of one runtime, by unique name."""

    def __init__(self, actions: Iterable[Action] = ()) -> None:
        self._actions: dict[str, Action] = {}
        for each in actions:
            self.register(each)

    def register(self, action: Action) -> None:
        """Add an action.

        Raises:
            OpcodeError: CONFLICT, when the name is taken.
        """
        if action.name in self._actions:
            raise OpcodeError(
                ErrorCode.CONFLICT,
                f"action {action.name!r} is already registered",
                next="register it under another name",
            )
        self._actions[action.name] = action

    def get(self, name: str) -> Action:
        """Find an action.

        Raises:
            OpcodeError: ACTION_UNAVAILABLE, with the nearest name when there is one.
        """
        found = self._actions.get(name)
        if found is None:
            near = self.nearest(name)
            hint = f"; did you mean {near!r}?" if near else ""
            raise OpcodeError(
                ErrorCode.ACTION_UNAVAILABLE, f"action {name!r} is not registered{hint}"
            )
        return found

    def nearest(self, name: str) -> str | None:
        """The registered name that looks most like `name`; None when none does."""
        close = difflib.get_close_matches(name, self._actions, n=1, cutoff=0.6)
        return close[0] if close else None

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._actions))

    def specs(self) -> dict[str, ActionSpec]:
        """All public faces, by name, sorted."""
        return {name: self._actions[name].spec for name in self.names()}

    def __contains__(self, name: object) -> bool:
        return name in self._actions


def action(
    name: str,
    *,
    kind: ActionKind = "effectful",
    description: str | None = None,
    params: dict[str, Any] | None = None,
    output: dict[str, Any] | None = None,
    on_interrupt: InterruptPolicy | InterruptRule | None = None,
    target: Callable[[Params], str] | None = None,
    timeout_s: float | None = None,
) -> Callable[[ActionFunction], Action]:
    """Make an action of a function.

    Arguments:
        name: dotted, such as `mail.send`.
        kind: `pure` (no effect outside, bounded), `read_only` or `effectful`.
        description: one sentence for agents; the first line of the function's docstring when left out.
        params: JSON Schema (2020-12) of the parameters. Marks of ours: `x-secret` (secrets may stand here) and
            `x-duration` (the text is a duration such as `30s`).
        output: JSON Schema of the output.
        on_interrupt: what a crash in the middle means; a function of the parameters where it depends on them.
        target: see `Action`.
        timeout_s: deadline of an attempt when the step gives none.

    Raises:
        ValueError: the name is not a dotted name, or a plain function is not pure.
    """

    def decorate(fn: ActionFunction) -> Action:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a dotted action name")
        if kind != "pure" and not inspect.iscoroutinefunction(fn):
            raise ValueError(f"action {name!r} is {kind}: its function must be `async def`")
        text = description if description is not None else _first_line(fn)
        policy = None if callable(on_interrupt) else on_interrupt
        spec = ActionSpec(name, kind, text, params, output, policy, timeout_s)
        return Action(spec, fn, target, on_interrupt if callable(on_interrupt) else None)

    return decorate


def isolated(rule: IsolationRule) -> Callable[[Action], Action]:
    """Say what an action that runs foreign code is held to, see `Action`; stands over `action`."""
    return lambda made: replace(made, isolation=rule)


def _first_line(fn: ActionFunction) -> str:
    return (inspect.getdoc(fn) or "").partition("\n")[0]
