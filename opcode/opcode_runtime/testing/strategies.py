"""Hypothesis strategies for events and histories.

Values are JSON as our edges let it in: no NaN, no infinity, no lone surrogates; integers of any
size. The few ids that are drawn come from small pools, so that events meet: a decision is answered,
a key is used twice, a step ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from opcode_runtime.model import events as ev
from opcode_runtime.model.errors import ErrorCode, ErrorInfo

TEMPLATES = ("alpha", "beta", "b@c")
WORKFLOWS = ("w1", "w2", "w10", "w\u00e9")
AGENTS = ("ann", "bob")
STEPS = ("fetch", "ship", "loop.0.a")

_KINDS: tuple[type[Any], ...] = get_args(ev.AnyEvent)

Batch = list[tuple[str, tuple[ev.AnyEvent, ...]]]

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**60, max_value=2**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)


@functools.cache
def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, of a few levels."""
    return st.recursive(
        _scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=8,
    )


@functools.cache
def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """A JSON object."""
    return st.dictionaries(st.text(max_size=6), json_values(), max_size=3)


@functools.cache
def errors() -> st.SearchStrategy[ErrorInfo]:
    """An error value, sometimes with the error underneath."""
    plain = st.builds(
        ErrorInfo,
        st.sampled_from(ErrorCode),
        st.text(max_size=12),
        st.none() | json_objects(),
        st.none() | st.sampled_from(STEPS),
    )
    return plain | st.builds(ErrorInfo, st.just(ErrorCode.RETRY_EXHAUSTED), st.text(), cause=plain)


@functools.cache
def moments() -> st.SearchStrategy[float]:
    """Wall-clock times, with repeats."""
    return st.sampled_from((1.0, 1.5, 2.0)) | st.floats(0.0, 4e9)


@functools.cache
def idempotency_keys() -> st.SearchStrategy[tuple[str, str, str] | None]:
    """What an event carries of its idempotency key; few, so that keys come again."""
    return st.none() | st.tuples(
        st.sampled_from(("run", "signal")), st.sampled_from(("k", "k2")), st.sampled_from("de")
    )


def events_of(kind: type[Any], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Events of one type with every field drawn; `fixed` overrides fields."""
    hints = get_type_hints(kind)
    fields = {name: _field(name, hints[name]) for name in kind.__struct_fields__}
    return st.builds(kind, **(fields | fixed))


@functools.cache
def _pools() -> dict[str, st.SearchStrategy[Any]]:
    """What is drawn for fields of these names, whatever their type."""
    return {
        "at": moments(),
        "step_id": st.sampled_from(STEPS),
        "decision_id": st.sampled_from(("d1", "d2", "d3")),
        "agent_id": st.sampled_from(AGENTS),
        "template_name": st.sampled_from(TEMPLATES),
        "key": idempotency_keys(),
    }


def _field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    pool = _pools()
    return pool[name] if name in pool else _values(hint)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of the types that the fields of events have."""
    simple: dict[Any, Callable[[], st.SearchStrategy[Any]]] = {
        Any: json_values,
        str: lambda: st.text(max_size=12),
        float: moments,
        int: lambda: st.integers(0, 2**53),
        bool: st.booleans,
        type(None): st.none,
        ErrorInfo: errors,
    }
    if hint in simple:
        return simple[hint]()
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is dict and arguments[1] is not Any:
        return st.dictionaries(st.text(max_size=6), _values(arguments[1]), max_size=2)
    if origin is dict:
        return json_objects()
    if origin is list:
        return st.lists(_values(arguments[0]), max_size=2)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(_values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_values, arguments))
    if origin in {Union, UnionType}:
        return st.one_of([_values(each) for each in arguments])
    raise TypeError(f"no strategy for {hint}")


@functools.cache
def events() -> st.SearchStrategy[ev.AnyEvent]:
    """An event of any type."""
    return st.one_of([events_of(kind) for kind in _KINDS])


@functools.cache
def _laters() -> st.SearchStrategy[tuple[ev.AnyEvent, ...]]:
    first = (ev.WorkflowCreated, ev.TemplateDefined, ev.AgentSeen)
    asking: tuple[type[Any], ...] = (ev.DecisionRequested, ev.DecisionResolved, ev.StepSkipped)
    kinds: list[type[Any]] = [kind for kind in _KINDS if kind not in first]
    later = st.one_of([events_of(kind) for kind in [*kinds, *asking, *asking]])
    return st.lists(later, max_size=4).map(tuple)


@st.composite
def batches(draw: st.DrawFn, count_max: int = 6) -> list[Batch]:
    """Batches of appends, in order: each a list of (stream, events). A workflow's stream begins with its creation."""
    begun: set[str] = set()
    return [
        [_append(draw, begun) for _ in range(draw(st.integers(1, 3)))]
        for _ in range(draw(st.integers(1, count_max)))
    ]


def _append(draw: st.DrawFn, begun: set[str]) -> tuple[str, tuple[ev.AnyEvent, ...]]:
    chance = draw(st.integers(0, 9))
    if chance < 2:
        name = draw(st.sampled_from(TEMPLATES))
        return f"template/{name}", draw(_definings(name))
    if chance == 2:
        agent_id = draw(st.sampled_from(AGENTS))
        return f"agent/{agent_id}", (draw(events_of(ev.AgentSeen, agent_id=st.just(agent_id))),)
    stream = draw(st.sampled_from(WORKFLOWS))
    later = draw(_laters())
    if stream in begun and later:
        return stream, later
    begun.add(stream)
    return stream, (draw(_creation(stream)), *later)


@functools.cache
def _definings(name: str) -> st.SearchStrategy[tuple[ev.AnyEvent, ...]]:
    version = st.integers(1, 12).map(lambda number: f"v{number}")
    defined = events_of(ev.TemplateDefined, name=st.just(name), version=version)
    gone = st.lists(version, min_size=1, max_size=3)
    removed = events_of(ev.TemplateRemoved, name=st.just(name), versions=gone)
    return st.tuples(defined, st.lists(defined | removed, max_size=2)).map(
        lambda each: (each[0], *each[1])
    )


@functools.cache
def _creation(stream: str) -> st.SearchStrategy[ev.WorkflowCreated]:
    return events_of(ev.WorkflowCreated, workflow_id=st.just(stream))
