"""Secrets to be found again, and outcomes in which they are hidden, all drawn from a seed."""

from __future__ import annotations

import base64
import html
import json
import shlex
import urllib.parse
from collections.abc import Callable
from random import Random
from typing import Any

_PLAIN = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
_HARD = _PLAIN + "\"'\\/+=&<>%#?:;!$ {}[]\n\té\u20ac\U0001f511"

_WRITTEN: tuple[Callable[[str], str], ...] = (
    str,
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    lambda text: json.dumps(json.dumps([text])),
    lambda text: urllib.parse.quote(text, safe=""),
    urllib.parse.quote_plus,
    html.escape,
    shlex.quote,
    repr,
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    lambda text: text[::-1],
)
_BASE64: tuple[Callable[[str], str], ...] = (
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.b64encode(b"x" + text.encode() + b"yz").decode(),
    lambda text: base64.b64encode(b"xy" + text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode() + b"?").decode(),
    lambda text: base64.encodebytes(b"w" * 40 + text.encode()).decode(),
)
ENCODERS = (*_WRITTEN, *_BASE64)


def canaries(random: Random, count: int) -> dict[str, str]:
    """Secrets of all sorts by name: tokens, digits, sentences with every special character."""
    found = {}
    for number in range(count):
        alphabet = (_PLAIN, _HARD, "0123456789")[number % 3]
        size = random.choice((9, 12, 20, 40, 200))
        found[f"CANARY_{number}"] = "".join(random.choice(alphabet) for _ in range(size))
    return found


def traces(secrets: dict[str, str]) -> list[bytes]:
    """What must be nowhere: every secret in every form, with what encoders put around it taken off."""
    found: dict[bytes, None] = {}
    for value in secrets.values():
        for written in (encode(value) for encode in _WRITTEN):
            for text in (written, json.dumps(written)[1:-1]):
                found[text.strip("\"'[]\\ \n").encode()] = None
        for before in (0, 1, 2):
            # Without the characters at the edges, which hold bits of what stands beside.
            found[base64.b64encode(b"x" * before + value.encode())[4:-4]] = None
        found[value.encode()] = None
    return [each for each in found if len(each) >= 8]


def outcome_value(random: Random, secrets: dict[str, str], depth: int = 0) -> Any:
    """Any JSON, with secrets in it here and there."""
    kind = random.randrange(8 if depth < 4 else 4)
    if kind < 4:
        return _leaf(random, secrets, kind)
    if kind < 6:
        return [outcome_value(random, secrets, depth + 1) for _ in range(random.randrange(4))]
    return {
        _text(random, secrets): outcome_value(random, secrets, depth + 1)
        for _ in range(random.randrange(4))
    }


def _leaf(random: Random, secrets: dict[str, str], kind: int) -> Any:
    if kind == 0:
        value = random.choice(list(secrets.values()))
        return int(value) if value.isdigit() else value
    if kind == 1:
        return random.choice((None, True, 0, -1.5, 2**70, "", "text"))
    return _text(random, secrets)


def _text(random: Random, secrets: dict[str, str]) -> str:
    pieces = []
    for _ in range(random.randrange(1, 4)):
        pieces.append(
            random.choice(("", "a", " lorem ipsum ", "\\", '"', "é", "{", "\n", "0x", "%"))
        )
        if random.random() < 0.6:
            written = random.choice(ENCODERS)(random.choice(list(secrets.values())))
            for _ in range(random.randrange(2)):
                written = json.dumps(written)[1:-1]
            pieces.append(written)
    return "".join(pieces)
