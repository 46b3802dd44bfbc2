"""The expressions of the corpus of CEL on which we differ from Google's engine, each with the name of its reason.

The reasons stand in words on the reference page of expressions.
"""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {
    "1 + inputs.half": "int and double",
    "inputs.f % 2": "integral floats",
    "type(inputs.f) == int": "integral floats",
    "inputs.nothing.x.y == 'a'": "members of null",
    "has(inputs.nothing.x)": "members of null",
    "[{'a': null}].exists(x, x.a.b == 1)": "members of null",
    "null in {'a': 1}": "members of null",
    "has(inputs.nope.x)": "asking with has",
    "has(inputs['n'])": "asking with has",
    "iter.item == loop.item": "the word loop",
    "inputs.n-1": "hyphens",
    "string(1234567.0)": "text of numbers",
    "string(1e-7)": "text of numbers",
    "string(-0.0)": "text of numbers",
    "string(1.0 / 0.0)": "text of numbers",
    "9007199254740993 == 9007199254740992.0": "large numbers",
    "9223372036854775807 < 9223372036854775808.0": "large numbers",
    "string(timestamp('2026-11-21T10:00:00.123456789Z'))": "microseconds",
    "duration('1µs')": "microseconds",
    "int(' 42')": "strict conversions",
    "int(true)": "strict conversions",
    "double('0x10')": "strict conversions",
    "contains('abc', 'a')": "methods as functions",
    "[1, 2].existsOne(x, x == 1)": "names of macros",
    "{1: 'a', 1u: 'b'}": "keys twice",
    r"r'a\'b'": "raw quotes",
}
