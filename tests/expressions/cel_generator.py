"""Random expressions of CEL over the scope of `cel_scope`, well-formed and mostly well-typed.

Arithmetic on an int and a double is left out: there we have a rule of our own.
"""

from __future__ import annotations

from random import Random

INTS = ("inputs.n", "inputs.neg", "inputs.order.qty", "inputs.nums[2]", "context.limits.cpu")
DOUBLES = (
    "inputs.half",
    "inputs.tenth",
    "inputs.floats[1]",
    "context.limits.ratio",
    "0.5",
    "-2.25",
)
TEXTS = (
    "inputs.name",
    "inputs.text",
    "inputs.tags[1]",
    "inputs.order.to.city",
    "'ab'",
    "''",
    "'éa'",
)
MOMENTS = ("timestamp(inputs.when)", "timestamp('2024-02-29T23:59:59Z')", "timestamp(1700000000)")
SPANS = ("duration(inputs.span)", "duration('-1.5s')", "duration('36h')", "duration('90s')")
LISTS = ("inputs.nums", "inputs.tags", "inputs.mixed", "inputs.none", "context.matrix", "[]")
ITEMS = "steps.fetch.body.items"
COMPARISONS = ("==", "!=", "<", ">", "<=", ">=")
PARTS = ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes")
ZONES = ("", "'UTC'", "'Europe/Berlin'", "'-03:30'", "'Asia/Kolkata'")


class Generator:
    """Draws expressions from a source of chance."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def any(self, depth: int = 3) -> str:
        """An expression of any type."""
        draws = (self.integer, self.double, self.text, self.truth, self.items, self.map, self.time)
        draw = self._random.choice(draws)
        return self.doubtful(depth) if self._random.random() < 0.15 else draw(depth)

    def doubtful(self, depth: int) -> str:
        """An expression whose operands may well be of the wrong type."""
        if depth <= 0:
            return self._random.choice(("inputs.nope", "inputs.tags[9]", "1 / inputs.zero", "null"))
        one, other = self.any(depth - 1), self.any(depth - 1)
        return self._random.choice(
            (
                f"({self.text(depth - 1)} {self._random.choice('+-*/%<')} {one})",
                f"({one} {self._random.choice('+-*/%<')} {self.items(depth - 1)})",
                f"({self.time(depth - 1)} {self._random.choice('+-<')} {one})",
                f"({one} {self._random.choice(('&&', '||'))} {other})",
                f"({one} ? {other} : {self.any(depth - 1)})",
                f"[{one}][{other}]",
                f"{{'ab': {one}}}[{other}]",
                f"{{{self.text(0)}: {one}}}.ab",
                f"{{'a': {one}, {other}: 1}}",
                f"({one} in [{other}])",
                f"size({one})",
                f"!({one})",
                f"int({self.text(depth - 1)})",
                f"duration({one})",
                f"bool({one})",
                f"{self.text(depth - 1)}.startsWith({one})",
                f"[{one}].all(x, {other})",
                f"[{one}, {other}].filter(x, x)",
                f"[{one}, {other}].exists(x, x == {self.any(depth - 1)})",
                f"({one}).exists_one(x, {self.truth(depth - 1)})",
            )
        )

    def integer(self, depth: int) -> str:
        """An expression that should be an int."""
        if depth <= 0:
            return self._random.choice((*INTS, str(self._random.randint(-9, 9))))
        one, other = self.integer(depth - 1), self.integer(depth - 1)
        return self._random.choice(
            (
                f"({one} {self._random.choice('+-*')} {other})",
                f"({one} {self._random.choice('/%')} {other})",
                f"-({one})",
                f"size({self.items(depth - 1)})",
                f"{self.text(depth - 1)}.size()",
                f"({self.truth(depth - 1)} ? {one} : {other})",
                f"int({self.double(depth - 1)})",
                f"int('{self._random.randint(-999, 999)}')",
                f"{self.integers(depth - 1)}[{self._random.randint(0, 3)}]",
                f"{{'a': {one}, 'b': {other}}}.{self._random.choice('ab')}",
                f"{self.moment(depth - 1)}.get{self._part()}",
                f"{self.span(depth - 1)}.get{self._random.choice(PARTS[-2:])}()",
                f"int({self.moment(0)})",
                f"[{one}, {self.text(0)}][0]",
            )
        )

    def double(self, depth: int) -> str:
        """An expression that should be a double."""
        if depth <= 0:
            return self._random.choice(DOUBLES)
        one, other = self.double(depth - 1), self.double(depth - 1)
        return self._random.choice(
            (
                f"({one} {self._random.choice('+-*/')} {other})",
                f"-({one})",
                f"double({self.integer(depth - 1)})",
                f"double('{self._random.randint(-99, 99)}.{self._random.randint(0, 99)}')",
                f"({self.truth(depth - 1)} ? {one} : {other})",
                f"{ITEMS}[{self._random.randint(0, 2)}].price",
                f"{ITEMS}.map(i, i.price * {one})[1]",
            )
        )

    def text(self, depth: int) -> str:
        """An expression that should be a text."""
        if depth <= 0:
            return self._random.choice(TEXTS)
        one, other = self.text(depth - 1), self.text(depth - 1)
        return self._random.choice(
            (
                f"({one} + {other})",
                f"string({self.integer(depth - 1)})",
                f"string({self.truth(depth - 1)})",
                f"string({self.span(depth - 1)})",
                f"string({self.moment(depth - 1)})",
                f"string(bytes({one}))",
                f"({self.truth(depth - 1)} ? {one} : {other})",
                f"{ITEMS}[{self._random.randint(0, 2)}].name",
                f"{{'k': {one}}}['k']",
                f"{ITEMS}.filter(i, i.name != {one})[0].name",
                f"[{one}, {other}][{self._random.randint(0, 1)}]",
            )
        )

    def truth(self, depth: int) -> str:
        """An expression that should be a bool."""
        if depth <= 0:
            return self._random.choice(
                ("true", "false", "inputs.yes", "inputs.no", "has(inputs.n)")
            )
        one, other = self.truth(depth - 1), self.truth(depth - 1)
        sign, macro = self._random.choice(COMPARISONS), self._random.choice(("all", "exists"))
        test = self._random.choice(("contains", "startsWith", "endsWith", "matches"))
        return self._random.choice(
            (
                f"({self.integer(depth - 1)} {sign} {self.integer(depth - 1)})",
                f"({self.integer(depth - 1)} {sign} {self.double(depth - 1)})",
                f"({self.double(depth - 1)} {sign} {self.double(depth - 1)})",
                f"({self.text(depth - 1)} {sign} {self.text(depth - 1)})",
                f"({self.moment(depth - 1)} {sign} {self.moment(depth - 1)})",
                f"({self.span(depth - 1)} {sign} {self.span(depth - 1)})",
                f"({self.any(depth - 1)} {sign} {self.any(depth - 1)})",
                f"({one} && {other})",
                f"({one} || {other})",
                f"({one} || {self.any(depth - 1)})",
                f"!{one}" if one[0] in "(hit" else f"!({one})",
                f"({self.any(depth - 1)} in {self.items(depth - 1)})",
                f"({self.text(depth - 1)} in {self.map(depth - 1)})",
                f"{self.text(depth - 1)}.{test}({self.text(0)})",
                f"{self.integers(depth - 1)}.{macro}(x, {self.predicate(depth - 1)})",
                f"{self.integers(depth - 1)}.exists_one(x, {self.predicate(depth - 1)})",
                f"{ITEMS}.{macro}(i, i.ok || {other})",
                f"{ITEMS}.exists(i, has(i.note) && i.note == {self.text(0)})",
                f"(type({self.any(depth - 1)}) == type({self.any(depth - 1)}))",
                f"({one} ? {other} : {self.truth(depth - 1)})",
            )
        )

    def predicate(self, depth: int) -> str:
        """What asks something of the variable x, an int."""
        return self._random.choice(
            (
                f"x {self._random.choice(COMPARISONS)} {self.integer(depth - 1)}",
                f"x % {self._random.randint(0, 3)} == {self._random.randint(0, 1)}",
                f"x in {self.integers(depth - 1)}",
                f"x * x > {self.integer(0)} && {self.truth(depth - 1)}",
                f"10 / x > {self._random.randint(0, 5)}",
            )
        )

    def integers(self, depth: int) -> str:
        """An expression that should be a list of ints."""
        if depth <= 0:
            return self._random.choice(("inputs.nums", "[1, 2, 3]", "[0, 1]", "context.matrix[1]"))
        one, other = self.integers(depth - 1), self.integers(depth - 1)
        return self._random.choice(
            (
                f"({one} + {other})",
                f"{one}.filter(x, {self.predicate(depth - 1)})",
                f"{one}.map(x, x {self._random.choice('+-*/')} {self.integer(depth - 1)})",
                f"{one}.map(x, {self.predicate(depth - 1)}, x * 2)",
                f"{other}.map(y, {one}.map(x, x + y)[0])",
                f"{ITEMS}.map(i, i.id)",
                f"[{self.integer(depth - 1)}, {self.integer(depth - 1)}]",
                f"({self.truth(depth - 1)} ? {one} : {other})",
            )
        )

    def items(self, depth: int) -> str:
        """An expression that should be a list."""
        if depth <= 0:
            return self._random.choice(LISTS)
        return self._random.choice(
            (
                self.integers(depth),
                f"[{self.any(depth - 1)}, {self.any(depth - 1)}]",
                f"{ITEMS}.filter(i, i.price > {self.double(depth - 1)})",
                f"{ITEMS}.map(i, {{'id': i.id, 'is': i.name == {self.text(depth - 1)}}})",
                f"({self.items(depth - 1)} + {self.items(depth - 1)})",
                f"inputs.order.map(k, k + {self.text(0)}).filter(k, k < 'k').map(k, k.size())",
            )
        )

    def map(self, depth: int) -> str:
        """An expression that should be a map."""
        if depth <= 0:
            return self._random.choice(("inputs.order", "context.limits", "{}", f"{ITEMS}[1]"))
        value = self.any(depth - 1)
        return self._random.choice(
            (
                f"{{'a': {value}, {self.text(depth - 1)}: {self.any(depth - 1)}}}",
                f"{{{self.integer(depth - 1)}: {value}}}",
                f"{{{self.truth(depth - 1)}: {value}}}",
                f"({self.truth(depth - 1)} ? {self.map(depth - 1)} : {self.map(depth - 1)})",
            )
        )

    def _part(self) -> str:
        return f"{self._random.choice(PARTS)}({self._random.choice(ZONES)})"

    def time(self, depth: int) -> str:
        """A moment or a span."""
        return self.moment(depth) if self._random.random() < 0.5 else self.span(depth)

    def moment(self, depth: int) -> str:
        """An expression that should be a timestamp."""
        if depth <= 0:
            return self._random.choice(MOMENTS)
        return f"({self.moment(depth - 1)} {self._random.choice('+-')} {self.span(depth - 1)})"

    def span(self, depth: int) -> str:
        """An expression that should be a duration."""
        if depth <= 0:
            return self._random.choice(SPANS)
        return self._random.choice(
            (
                f"({self.span(depth - 1)} {self._random.choice('+-')} {self.span(depth - 1)})",
                f"({self.moment(depth - 1)} - {self.moment(depth - 1)})",
            )
        )
