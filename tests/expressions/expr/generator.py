"""Random expressions of Expr, well-formed and mostly well-typed, over the environment of the corpus."""

from __future__ import annotations

from random import Random

NUMBERS = (
    "n",
    "k",
    "fl",
    "neg",
    "order.qty",
    "order.price",
    "nums[0]",
    "items[1].id",
    "0",
    "1",
    "2",
    "7",
    "0.5",
)
TEXTS = ("s", "order.id", "words[0]", "items[0].name", "'ab'", '"x,y"', "`raw`", "''", "'éa'")
ARRAYS = ("nums", "words", "floats", "[]", "[3, 1, 2]", "1..4", "['b', 'a']", "items")
PREDICATES = ("# > 2", "# % 2 == 0", "# in [1, 2, 3]", "# == n", "not (# < 3)", "# * 2 <= k")


class Generator:
    """Draws expressions from a source of chance."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def any(self, depth: int = 3) -> str:
        """An expression of any type."""
        draw = self._random.choice((self.number, self.text, self.truth, self.array, self.value))
        return draw(depth)

    def number(self, depth: int) -> str:
        """An expression that should be a number."""
        if depth <= 0:
            return self._random.choice(NUMBERS)
        one, other, array = self.number(depth - 1), self.number(depth - 1), self.numbers(depth - 1)
        return self._random.choice(
            (
                f"({one} {self._random.choice('+-*')} {other})",
                f"{one} / (k + {self._random.randint(1, 5)})",
                f"n % {self._random.randint(1, 5)}",
                f"-({one})",
                f"{one} ** 2",
                f"abs({one})",
                f"round({one} * 0.5)",
                f"floor({one})",
                f"ceil({one} / 3.0)",
                f"max({one}, {other})",
                f"min({array})",
                f"sum({array})",
                f"mean({array})",
                f"median({array})",
                f"len({self.array(depth - 1)})",
                f"len({self.text(depth - 1)})",
                f"count({array}, {self._predicate()})",
                f"reduce({array}, #acc + # * 2, 0)",
                f"({self.truth(depth - 1)} ? {one} : {other})",
                f"(missing ?? {one})",
                f"int({self._random.randint(-9, 9)}.7)",
                f"float({one})",
                f"bitand({self._random.randint(0, 99)}, k)",
                f"bitxor(n, {self._random.randint(0, 99)})",
                f"let v = {one}; v + {other}",
                f"indexOf({self.text(depth - 1)}, 'a')",
                f"(find({array}, {self._predicate()}) ?? 0)",
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
                f"upper({one})",
                f"{one} | lower()",
                f"trim({one}, 'ab')",
                f"replace({one}, 'a', {other})",
                f"repeat({one}, {self._random.randint(0, 3)})",
                f"string({self.number(depth - 1)})",
                f"type({self.any(depth - 1)})",
                f"join(split({one}, ','), {other})",
                f"trimPrefix({one}, 'a')",
                f"toBase64({one})",
                f"fromBase64(toBase64({one}))",
                f"join(map(words, upper(#)), {one})",
                f"({self.truth(depth - 1)} ? {one} : {other})",
                f"(order?.none ?? {one})",
                f"toJSON({self.array(depth - 1)})",
                f"(words | first()) + {one}",
                f"let w = {one}; w + w",
            )
        )

    def truth(self, depth: int) -> str:
        """An expression that should be a bool."""
        if depth <= 0:
            return self._random.choice(
                ("t", "true", "false", "items[0].ok", "n > k", "s == 'hello'")
            )
        comparison = self._random.choice(("==", "!=", "<", ">", "<=", ">="))
        word = self._random.choice(
            ("contains", "startsWith", "endsWith", "not contains", "matches")
        )
        quantifier = self._random.choice(("all", "any", "one", "none"))
        return self._random.choice(
            (
                f"({self.number(depth - 1)} {comparison} {self.number(depth - 1)})",
                f"({self.text(depth - 1)} {comparison} {self.text(depth - 1)})",
                f"({self.text(depth - 1)} {word} 'a')",
                f"({self.truth(depth - 1)} and {self.truth(depth - 1)})",
                f"({self.truth(depth - 1)} || {self.truth(depth - 1)})",
                f"not ({self.truth(depth - 1)})",
                f"({self.number(depth - 1)} in {self.numbers(depth - 1)})",
                "('id' in order)",
                f"({self.number(0)} not in nums)",
                f"{quantifier}({self.numbers(depth - 1)}, {self._predicate()})",
                f"(0 < {self.number(depth - 1)} <= 10)",
                f"hasPrefix({self.text(depth - 1)}, 'a')",
                f"({self.value(depth - 1)} == nil)",
            )
        )

    def numbers(self, depth: int) -> str:
        """An expression that should be an array of numbers."""
        if depth <= 0:
            return self._random.choice(("nums", "floats", "[3, 1, 2]", "1..4", "[]", "[n, k]"))
        one = self.numbers(depth - 1)
        return self._random.choice(
            (
                f"filter({one}, {self._predicate()})",
                f"map({one}, # * {self._random.randint(1, 4)})",
                f"sort({one})",
                f"sort({one}, 'desc')",
                f"reverse({one})",
                f"take({one}, {self._random.randint(0, 4)})",
                f"concat({one}, {self.numbers(depth - 1)})",
                f"uniq({one})",
                f"flatten([{one}, 4])",
                f"{one.split('(')[0] if '(' not in one else 'nums'}[1:]",
                f"sortBy({one}, -#)",
                "map(items, .id)",
                f"{one} | map(# + n)",
            )
        )

    def array(self, depth: int) -> str:
        """An expression that should be an array."""
        if depth <= 0:
            return self._random.choice(ARRAYS)
        return self._random.choice(
            (
                self.numbers(depth),
                f"split({self.text(depth - 1)}, ',')",
                f"[{self.any(depth - 1)}, {self.any(depth - 1)}]",
                f"filter(items, .{self._random.choice(('ok', 'id > 1', 'p >= 1'))})",
                f"map(items, {{.name + {self.text(0)}}})",
                "sort(keys(order))",
                f"{self.array(0)}[:2]",
            )
        )

    def value(self, depth: int) -> str:
        """An expression of which only running it tells the type."""
        return self._random.choice(
            (
                f"{self._random.choice(('order', 'missing', 'nothing', 's', 'items'))}?.a",
                f"nums[{self._random.randint(-6, 6)}]",
                f"get(order, {self.text(0)})",
                f"find(items, .id == {self._random.randint(1, 4)})?.name",
                f"{{a: {self.any(depth - 1)}}}.a" if depth > 0 else "order.none",
                f"({self.number(depth - 1)} + {self.text(depth - 1)})" if depth > 0 else "nothing",
                f"last({self.array(depth - 1)})",
                f"if {self.truth(depth - 1)} {{ 1 }} else {{ 'b' }}",
            )
        )

    def _predicate(self) -> str:
        predicate = self._random.choice(PREDICATES)
        return predicate if self._random.random() < 0.5 else f"{{{predicate}}}"
