"""Expressions that are wrong as written: what they were probably meant to be.

Each repair is a guess; whether it repairs is for the judge of expressions to say (`check_expressions`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from opcode_runtime.core.validation.findings import closest

_NAMESPACES = ("steps", "inputs", "workflow", "context", "secrets", "loop", "iter")
_ALIASES = {
    "step": "steps", "input": "inputs", "params": "inputs", "vars": "inputs", "variables": "inputs",
    "tasks": "steps", "jobs": "steps", "nodes": "steps", "item": "loop.item", "index": "loop.index",
    "secret": "secrets", "ctx": "context", "run": "workflow", "this": "loop", "each": "loop",
}  # fmt: skip
_STEP = re.compile(
    r"""(?<![\w.])steps(?:\.(?P<plain>[\w%#-]+)|\[\s*(?P<quote>['"])(?P<quoted>[^'"]*)(?P=quote)\s*\])"""
)
_INPUT = re.compile(
    r"""(?<![\w.])inputs(?:\.(?P<plain>\w+)|\[\s*(?P<quote>['"])(?P<quoted>[^'"]*)(?P=quote)\s*\])"""
)
_ROOT = re.compile(r"(?<![\w.'\"\]-])(?P<name>[A-Za-z_][\w-]*)(?=\s*[.\[])")
_ALONE = re.compile(r"\A\s*[A-Za-z_][\w-]*\s*\Z")
_OPENING = re.compile(r"(?<!\$)\$\{\{")
_OPERATORS = (
    (re.compile(r"\band\b", re.IGNORECASE), "&&"),
    (re.compile(r"\bor\b", re.IGNORECASE), "||"),
    (re.compile(r"\bnot\s+(?!in\b)", re.IGNORECASE), "!"),
    (re.compile(r"==="), "=="),
    (re.compile(r"!=="), "!="),
    (re.compile(r"<>"), "!="),
    (re.compile(r"(?<![=!<>])=(?![=~])"), "=="),
    (re.compile(r"(?<![&])&(?!&)"), "&&"),
    (re.compile(r"\bTrue\b"), "true"),
    (re.compile(r"\bFalse\b"), "false"),
    (re.compile(r"\b(?:None|nil|undefined|NULL|Null)\b"), "null"),
    (re.compile(r"(?<=[\w\])])\?\."), "."),
)
_QUOTED = re.compile(r"""'[^'\n]*'|"[^"\n]*\"""")
_OPEN_INDEX = re.compile(r"""(?<=[\w\])])\[\s*(['"])[^'"]*\1(?!\s*\])""")
_CLOSERS = {"(": ")", "[": "]", "{": "}"}

Text = Callable[[str], str]


def rewordings(
    text: str, kind: str, steps: Collection[str], inputs: Collection[str] | None
) -> Iterator[str]:
    """What a text was probably meant to be, the smallest changes first.

    Arguments:
        kind: `template`, `params` and `inputs` for a text that holds expressions; any other is an expression itself.
        steps: the names of steps that may be used.
        inputs: the inputs that may be named; None for any.
    """
    whole = kind not in {"template", "params", "inputs"}
    changes: list[Text] = [
        _closed,
        lambda source: _inside(source, lambda part: _named(part, steps, inputs), whole),
        lambda source: _inside(source, lambda part: _rooted(part, steps), whole),
        lambda source: _inside(source, _operators, whole),
        lambda source: _inside(source, _balanced, whole),
    ]
    seen = {text}
    changed = text
    for change in changes:
        for candidate in (change(text), changed := change(changed)):
            if candidate not in seen:
                seen.add(candidate)
                yield candidate


def _closed(text: str) -> str:
    """Every `${{` with its `}}`."""
    pieces = _OPENING.split(text)
    closed = (piece if "}}" in piece else _with_end(piece) for piece in pieces[1:])
    return "${{".join([pieces[0], *closed])


def _with_end(piece: str) -> str:
    end = piece.find("}")
    return f"{piece.rstrip()}}}}}" if end < 0 else f"{piece[:end]}}}}}{piece[end + 1 :]}"


def _inside(text: str, change: Text, whole: bool) -> str:
    """The text with its expressions changed."""
    if whole and "${{" not in text:
        return change(text)
    parts = re.split(r"((?<!\$)\$\{\{.*?\}\})", text, flags=re.DOTALL)
    return "".join(
        "${{" + change(part[3:-2]) + "}}"
        if part.startswith("${{") and part.endswith("}}")
        else part
        for part in parts
    )


def _named(text: str, steps: Collection[str], inputs: Collection[str] | None) -> str:
    """The text with names of steps and inputs that do not exist replaced by the nearest ones."""
    text = _STEP.sub(lambda found: _renamed(found, "steps", steps), text)
    if inputs is None:
        return text
    return _INPUT.sub(lambda found: _renamed(found, "inputs", inputs), text)


def _renamed(found: re.Match[str], root: str, known: Collection[str]) -> str:
    name = found["plain"] if found["plain"] is not None else found["quoted"]
    if name in known:
        return found[0]
    meant = closest(name, known) if known else None
    head, dot, rest = name.partition(".")
    if dot and (near := closest(head, known)) and f"{near}.{rest}" in known:
        meant = f"{near}.{rest}"
    if meant is None:
        return found[0]
    plain = found["plain"] is not None and re.fullmatch(r"[\w-]+", meant)
    return f"{root}.{meant}" if plain else f"{root}['{meant}']"


def _rooted(text: str, steps: Collection[str]) -> str:
    """The text with every name that begins a path in a namespace."""
    if (alone := text.strip()) in _ALIASES and _ALONE.match(text):
        return _ALIASES[alone]
    return _outside_quotes(text, lambda part: _ROOT.sub(lambda at: _root(at, steps), part))


def _root(found: re.Match[str], steps: Collection[str]) -> str:
    name = found["name"]
    if name in _NAMESPACES:
        return name
    if name in steps:
        return f"steps['{name}']" if "-" in name else f"steps.{name}"
    return _ALIASES.get(name.lower()) or closest(name, _NAMESPACES) or name


def _operators(text: str) -> str:
    """The operators and literals of other languages as CEL writes them."""

    def change(part: str) -> str:
        for pattern, word in _OPERATORS:
            part = pattern.sub(word, part)
        return part

    return _outside_quotes(text, change)


def _balanced(text: str) -> str:
    """The text with quotes and brackets closed, or without one bracket too many."""
    if text.count("'") % 2 and '"' not in text:
        return text.rstrip() + "'" + " " * (len(text) - len(text.rstrip()))
    if text.count("[") > text.count("]") and (closed := _OPEN_INDEX.sub(r"\g<0>]", text)) != text:
        return closed
    missing: list[str] = []
    for at, char in enumerate(_QUOTED.sub(lambda part: "_" * len(part[0]), text)):
        if char in _CLOSERS:
            missing.append(_CLOSERS[char])
        elif missing and char == missing[-1]:
            missing.pop()
        elif char in ")]":
            return text[:at] + text[at + 1 :]
    body = text.rstrip()
    return body + "".join(reversed(missing)) + text[len(body) :] if missing else text


def _outside_quotes(text: str, change: Text) -> str:
    parts: list[str] = []
    at = 0
    for quoted in _QUOTED.finditer(text):
        parts += [change(text[at : quoted.start()]), quoted[0]]
        at = quoted.end()
    return "".join([*parts, change(text[at:])])
