"""I-X1 `no_secret_bytes`, for any value and any surroundings; and references that only a definition can make."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opcode_runtime.engine import snapshots
from opcode_runtime.model.outcome import Completed
from opcode_runtime.model.secret_text import SecretText, secret_mark, taken_apart
from opcode_runtime.model.state import StepState, WorkflowState
from opcode_runtime.secrets import Redactor
from opcode_runtime.secrets._vault import _changed, _filled, _parts

_laws = settings(max_examples=150, deadline=None)
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
values = _text.filter(lambda text: len(text.encode()) >= 8 and len(set(text)) > 3)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)
FORMS: tuple[Callable[[str], str], ...] = (
    str,
    lambda text: json.dumps(text)[1:-1],
    lambda text: urllib.parse.quote(text, safe=""),
    urllib.parse.quote_plus,
    lambda text: text.encode().hex(),
    lambda text: base64.b64encode(text.encode()).decode(),
)


@_laws
@given(value=values, before=_text, after=_text, form=st.sampled_from(FORMS))
def test_no_secret_bytes(value: str, before: str, after: str, form: Callable[[str], str]) -> None:
    assume(value not in secret_mark("X"))
    redactor = Redactor()
    redactor.know([("X", value)])
    written = form(value)
    output = {"a": [before + written + after], before + written: 1}
    outcome = redactor.outcome(Completed(output))
    assert isinstance(outcome, Completed)
    assert outcome.redacted
    assert written not in repr(outcome.output)
    assert all(value not in text for text in _strings(outcome.output))


@_laws
@given(value=values, other=json_values)
def test_what_holds_no_secret_is_not_changed(value: str, other: Any) -> None:
    redactor = Redactor()
    redactor.know([("X", value)])
    redacted = redactor.value(other)
    if secret_mark("X") not in repr(redacted):
        assert redacted == other


@_laws
@given(value=json_values, pieces=st.lists(_text | names.map(SecretText.of), max_size=6))
def test_references_are_taken_apart_and_put_together_again(value: Any, pieces: list[str]) -> None:
    """Values come to the places of references, and nowhere else: text that looks like a mark stays."""
    marked = SecretText.joined([*pieces, secret_mark("FORGED")])
    plain, places = taken_apart({"a/b": [value, marked], "c~": value})
    assert type(plain["a/b"][1]) is str
    assert json.loads(json.dumps(plain)) == plain
    wanted = [piece.places[0][1] for piece in pieces if isinstance(piece, SecretText)]
    assert [name for _, _, name in places] == wanted
    secrets = {name: f"<{name}>" for name in wanted}
    marks = [(at, name) for _, at, name in places]
    filled = plain
    if places:
        filled = _changed(plain, _parts(places[0][0]), lambda text: _filled(marks, secrets, text))
    expected = "".join(
        secrets[piece.places[0][1]] if isinstance(piece, SecretText) else piece for piece in pieces
    )
    assert filled["a/b"][1] == expected + secret_mark("FORGED")
    assert filled["c~"] == plain["c~"] == value


@_laws
@given(places=st.lists(st.tuples(_text, st.integers(0, 2**40), names), max_size=4).map(tuple))
def test_a_snapshot_keeps_the_places_of_secrets(places: tuple[tuple[str, int, str], ...]) -> None:
    state = WorkflowState(
        workflow_id="w", steps={"a": StepState("a", secrets=places)}, secret_inputs={"i": "X"}
    )
    assert snapshots.decode(snapshots.encode(state)) == state


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in _strings(each)]
    return [text for each in value for text in _strings(each)] if isinstance(value, list) else []
