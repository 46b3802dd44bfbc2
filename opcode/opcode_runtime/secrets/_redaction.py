"""Take secrets out of what steps give back, before anything is journaled, shown or logged.

Rule 1: every secret that the vault holds is looked for in every outcome, and every value that a secret had while this
process lived: a later step may give back what an earlier one was given, also after a restart.
Rule 2: what is found becomes `[secret:NAME]`, in texts, in keys and in numbers. Nothing else is changed.
Rule 3: when no secret is known, nothing is looked at. Else one look at the encoded whole says whether there is anything
to do; only then is the value taken apart.
Rule 4: a secret shorter than eight bytes is found only where it is a whole string or number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from opcode_runtime.model.errors import ErrorInfo
from opcode_runtime.model.outcome import Completed, Failed, Outcome, Request
from opcode_runtime.model.secret_text import secret_mark
from opcode_runtime.secrets._forms import SHORT_BYTES, patterns_of

_REQUEST_FIELDS = ("message", "data", "fields", "event_type", "payload", "agent_id", "target")
_PATTERN_MEMORY_BYTES = 256 << 20
_BATCH_BYTES = 256 << 10
_TWICE = re.compile(r"(\[secret:[^\[\]]+\])\1+")


class Redactor:
    """Knows values of secrets, and takes them out. Knowing more is cheap until something is looked at."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        """Value → name."""
        self._short: dict[str, str] = {}
        self._searches: tuple[_Search, ...] = ()

    @property
    def knows_nothing(self) -> bool:
        """Whether there is nothing to look for."""
        return not self._names and not self._short

    def know(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Look for these from now on, given as (name, value); what was known stays known.

        Takes a few milliseconds for each that is new.
        """
        fresh: dict[str, str] = {}
        for name, value in secrets:
            if len(value.encode()) < SHORT_BYTES:
                self._short[value] = name
            elif self._names.get(value) != name:
                fresh[value] = name
        inside = any(value in known for value in fresh for known in self._names)
        self._names |= fresh
        searches = tuple(map(_Search, _batches(self._names if inside else fresh)))
        self._searches = searches if inside else (*searches, *self._searches)

    def text(self, text: str) -> str:
        """A text without secrets."""
        if text in self._short:
            return secret_mark(self._short[text])
        if not self._names:
            return text
        body = before = text.encode("utf-8", "surrogatepass")
        for search in self._searches:
            body = search.without(body)
        return text if body is before else _TWICE.sub(r"\1", body.decode("utf-8", "surrogatepass"))

    def value(self, value: Any) -> Any:
        """A JSON value without secrets; the same object when there are none in it."""
        if self.knows_nothing or not self._may_be_in(value):
            return value
        return self._walked(value)

    def outcome(self, outcome: Outcome) -> Outcome:
        """An outcome without secrets, marked as redacted when it had any; else the same object."""
        if self.knows_nothing or not self._may_be_in(outcome):
            return outcome
        requests = tuple(self._request(each) for each in outcome.requests)
        if isinstance(outcome, Failed):
            error = self._error(outcome.error)
            if error == outcome.error and requests == outcome.requests:
                return outcome
            details = {**(error.details or {}), "redacted": True}
            return Failed(msgspec.structs.replace(error, details=details), requests)
        output = self._walked(outcome.output)
        if output == outcome.output and requests == outcome.requests:
            return outcome
        return Completed(output, requests, redacted=True)

    def _request(self, request: Request) -> Request:
        changed = {
            name: self._walked(getattr(request, name))
            for name in _REQUEST_FIELDS
            if hasattr(request, name)
        }
        return msgspec.structs.replace(request, **changed)

    def _error(self, error: ErrorInfo) -> ErrorInfo:
        return msgspec.structs.replace(
            error,
            message=self.text(error.message),
            details=self._walked(error.details),
            cause=None if error.cause is None else self._error(error.cause),
        )

    def _walked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._walked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._walked(item) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = repr(value)
            redacted = self.text(written)
            return value if redacted == written else redacted
        return value

    def _may_be_in(self, value: Any) -> bool:
        try:
            encoded = msgspec.json.encode(value)
        except (ValueError, TypeError, OverflowError, RecursionError):
            return True  # such as an integer of any size: the walk says
        if any(search.finds(encoded) for search in self._searches):
            return True
        return any(
            msgspec.json.encode(short) in encoded or (short.isdigit() and short.encode() in encoded)
            for short in self._short
        )


Batch = list[tuple[bytes, str]]


def _batches(names: dict[str, str]) -> Iterator[Batch]:
    """All forms of all secrets as (pattern, name), in lots of a size that one program can hold.

    Long secrets come first, so that none is cut in pieces by one that it contains.
    """
    batch: Batch = []
    size = 0
    for value in sorted(names, key=len, reverse=True):
        for pattern in patterns_of(value):
            if batch and size + len(pattern) > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append((pattern, names[value]))
            size += len(pattern)
    if batch:
        yield batch


class _Search:
    """One lot of forms, compiled: a pattern that finds them, and a set that tells which one was found."""

    def __init__(self, batch: Batch) -> None:
        import re2

        self._options = re2.Options()
        self._options.encoding = re2.Options.Encoding.LATIN1
        self._options.longest_match = True
        self._options.log_errors = False
        self._options.max_mem = _PATTERN_MEMORY_BYTES
        self._batch = batch
        self._pattern = re2.compile(b"|".join(pattern for pattern, _ in batch), self._options)
        self._forms: Any = None

    def finds(self, body: bytes) -> bool:
        """Whether there is anything in `body`."""
        return self._pattern.search(body) is not None

    def without(self, body: bytes) -> bytes:
        """The same with marks; the same object when there is nothing."""
        if not self.finds(body):
            return body
        parts: list[bytes] = []
        at = 0
        for found in self._pattern.finditer(body):
            begin, end = found.span()
            parts += (body[at:begin], self._mark_for(body[begin:end]))
            at = end
        return b"".join((*parts, body[at:]))

    def _mark_for(self, form: bytes) -> bytes:
        """The mark of the first secret that has this form."""
        if self._forms is None:
            import re2

            self._forms = re2.Set.FullMatchSet(self._options)
            for pattern, _ in self._batch:
                self._forms.Add(pattern)
            self._forms.Compile()
        return secret_mark(self._batch[min(self._forms.Match(form))][1]).encode()
