r"""The forms in which a secret turns up in what a step gives back, as one pattern for RE2 over UTF-8 bytes.

Rule 1: a form is a list of elements, one for each character (or byte, or digit) of it; an element says all the ways in
which encoders write that character: `"` may come as `\"`, `%22`, `&quot;`, `&#34;`, `\u0022`, and again escaped for
JSON inside JSON. So any mixture of encoders is met by one form.
Rule 2: base64 of a text depends on what stands before the secret, by three alignments; what is fully determined by the
secret is looked for. Line breaks may stand anywhere in it, as tools wrap it. The same for hex.
Rule 3: a form whose end was cut off, by a limit or a border of chunks, is met from half its length on.
Rule 4: a secret of several lines is looked for line by line as well, a long one in segments.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

SHORT_BYTES = 8
"""A shorter secret is looked for only as a whole string: as part of texts it would be found everywhere."""
_SEGMENT_CHARS = 512
_LINE_CHARS_MIN = 16
_HEAD_MIN = 8
_TAIL_PARTS = 8

_BREAK = rb"(?:\\+[nr]|\s)*"
_BASE64_EDGE = rb"[A-Za-z0-9+/_-]?" + _BREAK
_BETWEEN_HEX = rb"(?:\\+[nrx]|0x|[\s:,])*"
_SHORT_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_HTML_NAMES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_SHELL_QUOTE = rb"""'\\+''|'\\*"'\\*"'"""


def patterns_of(value: str) -> dict[bytes, None]:
    """What matches the value of a secret, of at least `SHORT_BYTES`: one pattern, without groups, for each form."""
    return {
        _tolerant(elements): None for segment in _segments(value) for elements in _forms(segment)
    }


def _segments(value: str) -> Iterator[str]:
    """The value, or if it is long its pieces; then its lines."""
    rest = value
    while len(rest) >= 2 * _SEGMENT_CHARS:
        yield rest[:_SEGMENT_CHARS]
        rest = rest[_SEGMENT_CHARS:]
    yield rest
    lines = value.split("\n")
    for line in (line.strip() for line in lines if len(lines) > 1):
        if len(line) >= _LINE_CHARS_MIN and not line.startswith("-----"):
            yield line


def _forms(text: str) -> Iterator[list[bytes]]:
    yield [_element(char) for char in text]
    yield [_element(char) for char in reversed(text)]
    body = text.encode()
    yield [_hex_element(byte) for byte in body]
    for alignment in range(3):
        yield _base64_elements(body, alignment)


def _tolerant(elements: list[bytes]) -> bytes:
    """The elements in a row, of which the second half may end early."""
    head = max(_HEAD_MIN, (len(elements) + 1) // 2)
    rest = elements[head:]
    size = -(-len(rest) // _TAIL_PARTS) or 1
    parts = [b"".join(rest[at : at + size]) for at in range(0, len(rest), size)]
    tail = b""
    for part in reversed(parts):
        tail = b"(?:" + part + tail + b")?"
    return b"".join(elements[:head]) + tail


def _literal(char: str) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in char.encode())


def _element(char: str) -> bytes:
    """The ways to write one character."""
    if char.isascii() and char.isalnum():
        return _literal(char)
    return b"(?:" + b"|".join(dict.fromkeys(_ways(char))) + b")"


def _ways(char: str) -> Iterator[bytes]:
    yield (rb"\\+" if char == "\\" else rb"\\*" + _literal(char))
    yield b"".join(rb"%(?:25)?" + _hex(byte) for byte in char.encode())
    units = char.encode("utf-16-be")
    yield b"".join(
        rb"\\+u" + _hex(units[at]) + _hex(units[at + 1]) for at in range(0, len(units), 2)
    )
    if ord(char) < 256:
        yield rb"\\+x" + _hex(ord(char))
    yield b"&#0*%d;" % ord(char)
    yield b"&#[xX]0*" + _any_case(b"%x" % ord(char)) + b";"
    if char in _HTML_NAMES:
        yield b"&" + _HTML_NAMES[char].encode() + b";"
    if char in _SHORT_ESCAPES:
        yield rb"\\+" + _SHORT_ESCAPES[char].encode()
    if char == "\n":
        yield rb"\r\n|\\+r\\+n"
    elif char == " ":
        yield rb"\+"
    elif char == "'":
        yield _SHELL_QUOTE


def _hex(byte: int) -> bytes:
    return _any_case(b"%02x" % byte)


def _any_case(digits: bytes) -> bytes:
    return b"".join(
        b"[%c%c]" % (digit, digit - 32) if digit >= ord("a") else b"%c" % digit for digit in digits
    )


def _hex_element(byte: int) -> bytes:
    return _hex(byte) + _BETWEEN_HEX


def _base64_elements(body: bytes, alignment: int) -> list[bytes]:
    """Base64 when so many bytes (mod 3) stand before the secret: the characters that depend on the secret alone.

    Those at the edges that hold a few bits of it beside others are taken along, whatever they are.
    """
    encoded = base64.b64encode(bytes(alignment) + body).decode().rstrip("=")
    is_partial = (alignment + len(body)) % 3 != 0
    elements = [
        _base64_element(char) for char in encoded[(0, 2, 3)[alignment] : len(encoded) - is_partial]
    ]
    if alignment:
        elements[0] = _BASE64_EDGE + elements[0]
    if is_partial:
        elements[-1] += _BASE64_EDGE
    return elements


def _base64_element(char: str) -> bytes:
    if char == "+":
        return rb"(?:[+-]|%(?:25)?2[bB])" + _BREAK
    if char == "/":
        return rb"(?:\\*/|_|%(?:25)?2[fF])" + _BREAK
    return char.encode() + _BREAK
