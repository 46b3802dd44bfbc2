"""What names mean at one moment, and how a path is walked.

Rule 1: a member of a null is null, all the way down.
Rule 2: `steps.<id>` is the step's output; a handful of names after it are the step's own, every other name is a member
of the output. Among dotted ids the longest one that exists wins.
Rule 3: an input that was declared but not given reads as its default, else as the empty text where its schema says
`type: string`, else as null; yet it is not there for `has()` and `??`, unless it has a default.
Rule 4: any other name that is not there is an error which lists the names that are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

from opcode_runtime.expressions._failures import Absent, absent

NAMESPACES = frozenset({"steps", "inputs", "workflow", "context", "secrets", "loop", "iter"})
STEP_FIELDS = frozenset({"output", "status", "error", "reason", "attempts", "child_workflow_id"})

Keys = tuple[Any, ...]


class StepView(Protocol):
    """One step as expressions see it. A step that never started has output None and 0 attempts.

    `child_workflow_id` may be missing altogether; `error` is the error as a JSON object, or None.
    """

    @property
    def output(self) -> Any: ...
    @property
    def status(self) -> str: ...
    @property
    def error(self) -> Mapping[str, Any] | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def attempts(self) -> int: ...


class Scope:
    """The namespaces of one evaluation. It keeps views of what it is given and copies nothing.

    Arguments:
        steps: runtime id → step; a mapping that also finds siblings by their short id where that is right.
        inputs: the inputs that were given, with defaults applied.
        workflow: `run_id`, `name`, `template_name`, `template_version`, `agent_id`, `started_at`; in `on_error`
            also `error`.
        context: the workflow's context.
        loop: `item`, `index`, `parent` inside an iteration; None outside of one.
        declared_inputs: input name → its schema; None when the template has no `input_schema`.
    """

    __slots__ = ("context", "declared_inputs", "inputs", "loop", "steps", "workflow")

    def __init__(
        self,
        *,
        steps: Mapping[str, StepView],
        inputs: Mapping[str, Any],
        workflow: Mapping[str, Any],
        context: Mapping[str, Any],
        loop: Mapping[str, Any] | None = None,
        declared_inputs: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        self.steps = steps
        self.inputs = inputs
        self.workflow = workflow
        self.context = context
        self.loop = loop
        self.declared_inputs = declared_inputs

    def resolve(self, root: str, keys: Keys) -> Any:
        """The value of a path.

        Raises:
            OpcodeError: INTERPOLATION_ERROR for a name that is not there.
        """
        if root == "inputs":
            return self._input(keys)[1]
        value, used = self._base(root, keys)
        return walk(value, keys, used, root)

    def probe(self, root: str, keys: Keys) -> tuple[bool, Any]:
        """Whether a path leads somewhere, and its value (None where it does not)."""
        try:
            if root == "inputs":
                return self._input(keys)
            value, used = self._base(root, keys)
            return walk_to_presence(value, keys, used, root)
        except Absent:
            return False, None

    def _base(self, root: str, keys: Keys) -> tuple[Any, int]:
        """The value that the walk starts from, and how many keys it has used up."""
        if root == "steps":
            return self._step(keys)
        if root in {"loop", "iter"}:
            if self.loop is None:
                raise Absent(f"{root!r} means something only inside a loop")
            return self.loop, 0
        if root == "workflow":
            return self.workflow, 0
        if root == "context":
            return self.context, 0
        raise absent("an expression", root, sorted(NAMESPACES - {"secrets"}))

    def _step(self, keys: Keys) -> tuple[Any, int]:
        if not keys:
            return {step_id: self.steps[step_id].output for step_id in self.steps}, 0
        step_id, used = longest_id(keys, self.steps)
        if step_id is None:
            raise absent("steps", keys[0], self.steps)
        view = self.steps[step_id]
        if len(keys) > used and keys[used] in STEP_FIELDS:
            return getattr(view, keys[used], None), used + 1
        return view.output, used

    def _input(self, keys: Keys) -> tuple[bool, Any]:
        """Whether the input is there, and what it reads as."""
        value: Any = self.inputs
        schema: Any = None
        if self.declared_inputs is not None:
            schema = {"properties": self.declared_inputs}
        elif keys and keys[0] not in self.inputs:
            return False, None
        present = True
        for depth, key in enumerate(keys):
            schema = _property_schema(schema, key)
            if schema is not None and _is_mapping(value) and key not in value:
                present, value = _not_given(schema)
                continue
            if depth == 0 and key not in self.inputs:
                raise absent(
                    "inputs", key, dict.fromkeys((*self.inputs, *(self.declared_inputs or ())))
                )
            present = present and value is not None
            value = member(value, key, "inputs", keys, depth)
        return present, value


def longest_id(keys: Keys, known: Any) -> tuple[str | None, int]:
    """The longest step id that leading `keys` spell when joined by dots, and how many keys it takes.

    Arguments:
        keys: the keys after `steps`.
        known: anything that answers `in` for a step id.
    """
    names = 0
    while names < len(keys) and isinstance(keys[names], str):
        names += 1
    for used in range(names, 0, -1):
        candidate = ".".join(keys[:used])
        if candidate in known:
            return candidate, used
    return None, 0


def _is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    """Most are plain objects, and asking for those by their type is several times faster."""
    return type(value) is dict or isinstance(value, Mapping)


def member(value: Any, key: Any, root: str, keys: Keys, depth: int) -> Any:
    """One step of a walk: `keys[depth]`, which is `key`, of `value`.

    Raises:
        Absent: there is no such member, or `value` has no members at all.
    """
    if value is None:
        return None
    if _is_mapping(value):
        if key in value:
            return value[key]
        raise _missing(value, key, root, keys, depth)
    if isinstance(value, list | tuple):
        if isinstance(key, int) and 0 <= key < len(value):
            return value[key]
        raise Absent(_no_element(value, key, spell(root, keys[:depth])))
    raise Absent(f"{spell(root, keys[:depth])} is {_kind(value)} and has no member {key!r}")


def walk(value: Any, keys: Keys, used: int, root: str) -> Any:
    """Follow `keys[used:]` down from `value`."""
    for depth in range(used, len(keys)):
        value = member(value, keys[depth], root, keys, depth)
    return value


def walk_to_presence(value: Any, keys: Keys, used: int, root: str) -> tuple[bool, Any]:
    """As `walk`, telling whether the last key is really there: a member of a null is not."""
    present = True
    for depth in range(used, len(keys)):
        present = value is not None
        value = member(value, keys[depth], root, keys, depth)
    return present, value


def spell(root: str, keys: Keys) -> str:
    """A path as one would write it."""
    return root + "".join(f".{key}" if _is_plain(key) else f"[{key!r}]" for key in keys)


def _is_plain(key: object) -> bool:
    return isinstance(key, str) and key.replace("-", "_").isidentifier()


def _property_schema(schema: Any, key: Any) -> dict[str, Any] | None:
    """What a schema says about the property `key`; None where it says nothing."""
    if not schema:
        return None
    properties = schema.get("properties") if _is_mapping(schema) else None
    if not _is_mapping(properties) or key not in properties:
        return None
    found = properties[key]
    return found if isinstance(found, dict) else {}


def _not_given(schema: dict[str, Any]) -> tuple[bool, Any]:
    if "default" in schema:
        return True, schema["default"]
    return False, "" if schema.get("type") == "string" else None


def _missing(value: Mapping[Any, Any], key: Any, root: str, keys: Keys, depth: int) -> Absent:
    error = absent(spell(root, keys[:depth]), key, value)
    head, minus, _ = key.partition("-") if isinstance(key, str) else ("", "", "")
    if minus and head in value:
        error.message += "; to subtract, write spaces around the minus"
        error.args = (error.message,)
    return error


def _no_element(value: list[Any] | tuple[Any, ...], key: Any, where: str) -> str:
    if isinstance(key, str) and key.isdigit():
        return f"{where} is a list; write [{key}] for an element of it"
    return f"{where} is a list of {len(value)} and has no element {key!r}"


def _kind(value: object) -> str:
    return {bool: "a boolean", str: "a text"}.get(type(value), "a number")
