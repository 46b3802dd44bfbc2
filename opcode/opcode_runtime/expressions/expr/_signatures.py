"""The functions of Expr: what each takes and gives, as a table.

A type is one of the words of `Type`; `any` is what is known only when it runs. A parameter lists what it accepts, with
`|` between; `any` is accepted everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

Type = str
"""any nil bool int float string bytes array map time duration location month weekday.

Beside these a parameter may say `anything`, and `letters` for a string that only running it shows to be one.
"""

_MANY = 1_000


@dataclass(frozen=True, slots=True)
class Signature:
    """One function.

    parameters: accepted types, in order; the last one repeats when `repeats`.
    optional: how many of the last parameters may be left out.
    result: its type; `first` is that of the first argument.
    """

    parameters: tuple[str, ...]
    result: Type
    optional: int = 0
    repeats: bool = False

    @property
    def arity(self) -> tuple[int, int]:
        """The least and the largest number of arguments."""
        most = _MANY if self.repeats else len(self.parameters)
        return len(self.parameters) - self.optional, most

    def accepts(self, index: int) -> frozenset[str]:
        """The types that argument `index` may have."""
        return frozenset(self.parameters[min(index, len(self.parameters) - 1)].split("|"))


def _signature(text: str) -> tuple[str, Signature]:
    name, _, rest = text.partition("(")
    inside, _, result = rest.partition(") ")
    parts = [part for part in inside.split(", ") if part]
    optional = sum(part.endswith("?") for part in parts)
    repeats = bool(parts) and parts[-1].endswith("...")
    return name, Signature(tuple(part.rstrip("?.") for part in parts), result, optional, repeats)


_PLAIN = """
trim(string, string?) string
trimPrefix(string, string?) string
trimSuffix(string, string?) string
upper(string) string
lower(string) string
split(string, string, int?) array
splitAfter(string, string, int?) array
replace(string, string, string, int?) string
repeat(string, int) string
indexOf(string, string) int
lastIndexOf(string, string) int
hasPrefix(string, string) bool
hasSuffix(string, string) bool
now() time
duration(string) duration
date(string, string?, string?) time
timezone(string) location
max(int|float|array...) any
min(int|float|array...) any
abs(int|float) first
ceil(int|float) float
floor(int|float) float
round(int|float) float
concat(array...) array
flatten(array) array
uniq(array) array
join(array, string?) string
mean(int|float|array...) float
median(int|float|array...) float
first(array) any
last(array) any
take(array, int) array
reverse(array) array
sort(array, string?) array
keys(map) array
values(map) array
type(anything) string
int(int|float|string|duration|month|weekday) int
float(int|float|string) float
string(anything) string
toJSON(anything) string
fromJSON(string) any
toBase64(string) string
fromBase64(string) string
toPairs(map) array
fromPairs(array) any
len(string|array|map|bytes) int
get(array|map|letters, anything) any
bitand(int, int) int
bitor(int, int) int
bitxor(int, int) int
bitnand(int, int) int
bitnot(int) int
bitshl(int, int) int
bitshr(int, int) int
bitushr(int, int) int
"""
_WITH_PREDICATE = """
all(array, bool) bool
any(array, bool) bool
one(array, bool) bool
none(array, bool) bool
map(array, anything) array
filter(array, bool) array
find(array, bool) any
findIndex(array, bool) any
findLast(array, bool) any
findLastIndex(array, bool) any
groupBy(array, anything) any
count(array, bool?) int
reduce(array, anything, anything?) any
sum(array, int|float|duration?) any
sortBy(array, anything, string?) array
"""

BUILTINS: dict[str, Signature] = dict(map(_signature, _PLAIN.strip().splitlines()))
PREDICATED: dict[str, Signature] = dict(map(_signature, _WITH_PREDICATE.strip().splitlines()))
"""Those whose second argument is evaluated once for each element."""


def nearest(name: str) -> str | None:
    """The function whose name looks most like `name`; None when none does."""
    close = get_close_matches(name, (*BUILTINS, *PREDICATED), n=1)
    return close[0] if close else None
