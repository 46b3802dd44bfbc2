"""Expr's functions of arrays and maps: those with a predicate, and those without.

Rule 1: nothing changes the array it is given.
Rule 2: sorting keeps the order of equal elements; a map keeps the order in which its keys came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cmp_to_key
from typing import Any

from opcode_runtime.expressions._failures import fault
from opcode_runtime.expressions.expr._functions import Function
from opcode_runtime.expressions.expr._limits import Meter
from opcode_runtime.expressions.expr._operators import add, divide, less, truth
from opcode_runtime.expressions.expr._values import equal, integer, is_number, kind

Each = Callable[[Any, int], Any]
"""A predicate: the element and its index give a value."""


def _all(_: Meter, array: list[Any], test: Each) -> bool:
    return all(truth(test(item, index)) for index, item in enumerate(array))


def _any(_: Meter, array: list[Any], test: Each) -> bool:
    return any(truth(test(item, index)) for index, item in enumerate(array))


def _one(meter: Meter, array: list[Any], test: Each) -> bool:
    return _count(meter, array, test) == 1


def _none(meter: Meter, array: list[Any], test: Each) -> bool:
    return not _any(meter, array, test)


def _map(meter: Meter, array: list[Any], value: Each) -> list[Any]:
    meter.grow(len(array))
    return [value(item, index) for index, item in enumerate(array)]


def _passing(array: list[Any], test: Each, *, backwards: bool = False) -> Iterator[int]:
    order = range(len(array))
    return (
        index
        for index in (reversed(order) if backwards else order)
        if truth(test(array[index], index))
    )


def _filter(meter: Meter, array: list[Any], test: Each) -> list[Any]:
    found = [array[index] for index in _passing(array, test)]
    meter.grow(len(found))
    return found


def _find(_: Meter, array: list[Any], test: Each) -> Any:
    return next((array[index] for index in _passing(array, test)), None)


def _find_index(_: Meter, array: list[Any], test: Each) -> int | None:
    return next(_passing(array, test), None)


def _find_last(_: Meter, array: list[Any], test: Each) -> Any:
    return next((array[index] for index in _passing(array, test, backwards=True)), None)


def _find_last_index(_: Meter, array: list[Any], test: Each) -> int | None:
    return next(_passing(array, test, backwards=True), None)


def _group_by(meter: Meter, array: list[Any], key_of: Each) -> dict[Any, list[Any]]:
    meter.grow(len(array))
    groups: dict[Any, list[Any]] = {}
    kinds: dict[Any, str] = {}
    for index, item in enumerate(array):
        key = _key(key_of(item, index))
        if kinds.setdefault(key, kind(key)) != kind(key):
            raise fault(f"{kinds[key]} and {kind(key)} of one value cannot both be keys of a map")
        groups.setdefault(key, []).append(item)
    return groups


def _key(value: Any) -> Any:
    if isinstance(value, list | dict):
        raise fault(f"{kind(value)} cannot be the key of a map")
    return value


def _count(_: Meter, array: list[Any], test: Each | None = None) -> int:
    passes = test or (lambda item, _: item)
    return sum(truth(passes(item, index)) for index, item in enumerate(array))


def _sum(meter: Meter, array: list[Any], value: Each | None = None) -> Any:
    meter.spend(1 + len(array))
    total: Any = 0
    for index, item in enumerate(array):
        each = item if value is None else value(item, index)
        if not is_number(each):
            raise fault(f"{kind(each)} cannot be summed")
        total = add(meter, total, each)
    return total


def _sort_by(meter: Meter, array: list[Any], key_of: Each, order: str = "asc") -> list[Any]:
    keys = [key_of(item, index) for index, item in enumerate(array)]
    places = _sorted(meter, list(range(len(array))), order, lambda place: keys[place])
    return [array[place] for place in places]


def _sort(meter: Meter, array: list[Any] | None, order: str = "asc") -> list[Any]:
    return _sorted(meter, array or [], order, lambda item: item)


def _sorted(meter: Meter, array: list[Any], order: str, key_of: Callable[[Any], Any]) -> list[Any]:
    if order not in {"asc", "desc"}:
        raise fault(f"the order is asc or desc, not {order[:50]!r}")
    meter.grow(len(array))

    def compare(left: Any, right: Any) -> int:
        meter.spend(2)
        one, other = key_of(left), key_of(right)
        return -1 if less(meter, one, other) else int(less(meter, other, one))

    return sorted(array, key=cmp_to_key(compare), reverse=order == "desc")


def _concat(meter: Meter, *arrays: list[Any]) -> list[Any]:
    meter.grow(sum(map(len, arrays)))
    return [item for array in arrays for item in array]


def _flatten(meter: Meter, array: list[Any]) -> list[Any]:
    meter.grow(len(array))
    flat: list[Any] = []
    for item in array:
        flat += _flatten(meter, item) if isinstance(item, list) else [item]
    return flat


def _uniq(meter: Meter, array: list[Any]) -> list[Any]:
    meter.grow(len(array))
    known: set[tuple[bool, Any]] = set()
    odd: list[Any] = []
    unique: list[Any] = []
    for item in array:
        if isinstance(item, list | dict):
            if any(equal(meter, item, each) for each in odd):
                continue
            odd.append(item)
        elif (isinstance(item, bool), item) in known:
            continue
        else:
            known.add((isinstance(item, bool), item))
        unique.append(item)
    return unique


def _join(meter: Meter, array: list[Any], delimiter: str = "") -> str:
    for item in array:
        if not isinstance(item, str):
            raise fault(f"join takes an array of strings; one of them is {kind(item)}")
    meter.write(sum(map(len, array)) + len(delimiter) * len(array))
    return delimiter.join(array)


def _numbers(meter: Meter, name: str, values: tuple[Any, ...]) -> Iterator[Any]:
    for value in values:
        meter.spend(1)
        if isinstance(value, list):
            yield from _numbers(meter, name, tuple(value))
        elif is_number(value):
            yield value
        else:
            raise fault(f"{name} takes numbers, not {kind(value)}")


def _extreme(name: str, choose: Callable[..., Any]) -> Function:
    def function(meter: Meter, *values: Any) -> Any:
        if values == (None,):
            return None
        return choose(_numbers(meter, name, values), default=None)

    return function


def _mean(meter: Meter, *values: Any) -> float:
    numbers = list(_numbers(meter, "mean", values))
    total: Any = sum(map(float, numbers))
    return float(divide(meter, total, len(numbers))) if numbers else 0.0


def _median(meter: Meter, *values: Any) -> float:
    numbers = sorted(map(float, _numbers(meter, "median", values)))
    meter.grow(len(numbers))
    if not numbers:
        return 0.0
    middle = len(numbers) // 2
    return numbers[middle] if len(numbers) % 2 else (numbers[middle - 1] + numbers[middle]) / 2


def _first(_: Meter, array: list[Any] | None) -> Any:
    return array[0] if array else None


def _last(_: Meter, array: list[Any] | None) -> Any:
    return array[-1] if array else None


def _take(meter: Meter, array: list[Any], count: Any) -> list[Any]:
    most = integer(count, "the number of elements")
    if most < 0:
        raise fault(f"{most} elements cannot be taken")
    meter.grow(min(most, len(array)))
    return array[:most]


def _reverse(meter: Meter, array: list[Any]) -> list[Any]:
    meter.grow(len(array))
    return array[::-1]


def _keys(meter: Meter, of: dict[Any, Any]) -> list[Any]:
    meter.grow(len(of))
    return list(of)


def _values(meter: Meter, of: dict[Any, Any]) -> list[Any]:
    meter.grow(len(of))
    return list(of.values())


def _to_pairs(meter: Meter, of: dict[Any, Any]) -> list[list[Any]]:
    meter.grow(3 * len(of))
    return [[key, value] for key, value in of.items()]


def _from_pairs(meter: Meter, pairs: list[Any]) -> dict[Any, Any]:
    meter.grow(len(pairs))
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise fault("fromPairs takes an array of [key, value]")
    return {_key(key): value for key, value in pairs}


COLLECTION_FUNCTIONS: dict[str, Function] = {
    "max": _extreme("max", max),
    "min": _extreme("min", min),
    "concat": _concat,
    "flatten": _flatten,
    "uniq": _uniq,
    "join": _join,
    "mean": _mean,
    "median": _median,
    "first": _first,
    "last": _last,
    "take": _take,
    "reverse": _reverse,
    "sort": _sort,
    "keys": _keys,
    "values": _values,
    "toPairs": _to_pairs,
    "fromPairs": _from_pairs,
}
WITH_PREDICATE: dict[str, Function] = {
    "all": _all,
    "any": _any,
    "one": _one,
    "none": _none,
    "map": _map,
    "filter": _filter,
    "find": _find,
    "findIndex": _find_index,
    "findLast": _find_last,
    "findLastIndex": _find_last_index,
    "groupBy": _group_by,
    "count": _count,
    "sum": _sum,
    "sortBy": _sort_by,
}
"""All but `reduce`, whose predicate also sees what came before."""
NIL_AS_ABSENT = frozenset(
    {"first", "last", "get", "min", "max", "sort", "type", "string", "toJSON"}
)
"""Functions that have an answer for nil in place of an array."""
