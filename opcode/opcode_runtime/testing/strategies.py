"""Hypothesis strategies for events and histories.

Values are JSON as our edges let it in: no NaN, no infinity, no lone surrogates; integers of any
size. The few ids that are drawn come from small pools, so that events meet: a decision is answered,
a key is used twice, a step ends.
"""

from __future__ import annotations

from typing import Any, get_args

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


def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, of a few levels."""
    return st.recursive(
        _scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
        ),
        max_leaves=8,
    )


def json_objects() -> st.SearchStrategy[dict[str, Any]]:
    """A JSON object."""
    return st.dictionaries(st.text(max_size=6), json_values(), max_size=3)


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


def moments() -> st.SearchStrategy[float]:
    """Wall-clock times, with repeats."""
    return st.sampled_from((1.0, 1.5, 2.0)) | st.floats(0.0, 4e9)


def idempotency_keys() -> st.SearchStrategy[tuple[str, str, str] | None]:
    """What an event carries of its idempotency key; few, so that keys come again."""
    return st.none() | st.tuples(
        st.sampled_from(("run", "signal")), st.sampled_from(("k", "k2")), st.sampled_from("de")
    )


def events_of(kind: type[Any], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Events of one type; `fixed` overrides fields."""
    fields: dict[str, st.SearchStrategy[Any]] = {"at": moments()}
    chosen = {
        "step_id": st.sampled_from(STEPS),
        "decision_id": st.sampled_from(("d1", "d2", "d3")),
        "error": errors(),
        "key": idempotency_keys(),
        "agent_id": st.sampled_from(AGENTS),
        "target_agent_id": st.none() | st.sampled_from(AGENTS),
        "template_name": st.sampled_from(TEMPLATES),
        "output": json_values(),
        "data": json_objects(),
        "payload": json_values(),
        "inputs": json_objects(),
        "options": st.lists(json_objects(), max_size=2),
    }
    names = kind.__struct_fields__
    fields |= {name: strategy for name, strategy in chosen.items() if name in names}
    return st.builds(kind, **(fields | fixed))


def events() -> st.SearchStrategy[ev.AnyEvent]:
    """An event of any type."""
    return st.one_of([events_of(kind) for kind in _KINDS])


def _later_events() -> st.SearchStrategy[ev.AnyEvent]:
    first = (ev.WorkflowCreated, ev.TemplateDefined)
    asking: tuple[type[Any], ...] = (ev.DecisionRequested, ev.DecisionResolved, ev.StepSkipped)
    kinds: list[type[Any]] = [kind for kind in _KINDS if kind not in first]
    return st.one_of([events_of(kind) for kind in [*kinds, *asking, *asking]])


@st.composite
def batches(draw: st.DrawFn, count_max: int = 6) -> list[Batch]:
    """Batches of appends, in order: each a list of (stream, events). A workflow's stream begins with its creation."""
    begun: set[str] = set()
    return [
        [_append(draw, begun) for _ in range(draw(st.integers(1, 3)))]
        for _ in range(draw(st.integers(1, count_max)))
    ]


def _append(draw: st.DrawFn, begun: set[str]) -> tuple[str, tuple[ev.AnyEvent, ...]]:
    if draw(st.integers(0, 4)) == 0:
        name = draw(st.sampled_from(TEMPLATES))
        version = st.integers(1, 12).map(lambda number: f"v{number}")
        defined = events_of(ev.TemplateDefined, name=st.just(name), version=version)
        return f"template/{name}", tuple(draw(st.lists(defined, min_size=1, max_size=2)))
    stream = draw(st.sampled_from(WORKFLOWS))
    later = draw(st.lists(_later_events(), max_size=4))
    if stream in begun and later:
        return stream, tuple(later)
    begun.add(stream)
    created = draw(events_of(ev.WorkflowCreated, workflow_id=st.just(stream)))
    return stream, (created, *later)
