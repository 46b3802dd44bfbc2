"""Where the workflow's rules and the language definition say the same, cel-python's own evaluator agrees."""

import sys

import celpy
import pytest
from celpy.celparser import CELParser

SCOPE = {
    "inputs": {"count": 12, "name": "report-2026", "ratio": 0.5, "tags": ["a", "prod"], "no": None},
    "context": {"items": [{"id": 1, "ok": True, "price": 3.5}, {"id": 2, "ok": False, "price": 7}]},
}
AGREED = [
    "inputs.count > 10 && context.items[0].id == 1",
    "inputs.count + 1",
    "inputs.count / 5",
    "-inputs.count / 5",
    "-inputs.count % 5",
    "inputs.count * 2 - inputs.count",
    "inputs.ratio + 1.0",
    "inputs.ratio * 3.0 / 2.0",
    "has(inputs.name) && !has(inputs.missing)",
    "'prod' in inputs.tags",
    "'count' in inputs",
    "size(inputs.tags) + size(inputs.name)",
    "inputs.name.matches('^report-[0-9]+$')",
    "inputs.name.startsWith('rep') && inputs.name.endsWith('26') && inputs.name.contains('port')",
    "inputs.count > 10 ? 'many' : 'few'",
    "context.items.all(i, i.id > 0)",
    "context.items.exists(i, i.id == 2)",
    "context.items.exists_one(i, i.ok)",
    "context.items.filter(i, i.ok).map(i, i.id)",
    "[1, 2, 3].map(x, x * x)",
    "{'a': 1, 'b': [1, 2]}.b[1]",
    "timestamp('2026-11-21T10:00:00Z') < timestamp('2026-11-22T00:00:00Z')",
    "timestamp('2026-11-21T10:00:00Z').getFullYear()",
    "timestamp('2026-11-21T10:00:00Z').getDayOfYear()",
    "timestamp('2026-11-21T10:00:00Z').getDayOfWeek()",
    "duration('90s') == duration('1m30s')",
    "inputs.no == null",
    "true || inputs.missing == 1",
    "inputs.missing == 1 && false",
    "string(inputs.count) + '/' + inputs.name",
    "int('42') + inputs.count",
    "double(inputs.count) / 5.0",
    "type(inputs.count) == int",
    r"'a\tb\x41\u00e9' + r'\d'",
    "1 < 2 == true",
    "2 + 3 * 4 - 5",
    "!(inputs.count in [1, 12])",
]


@pytest.fixture(scope="module")
def reference():
    recursion_limit, parser = sys.getrecursionlimit(), CELParser.CEL_PARSER
    CELParser.CEL_PARSER = None
    environment = celpy.Environment()
    activation = celpy.json_to_cel(SCOPE)
    yield lambda text: environment.program(environment.compile(text)).evaluate(activation)
    CELParser.CEL_PARSER = parser
    sys.setrecursionlimit(recursion_limit)


@pytest.mark.parametrize("text", AGREED)
def test_both_evaluators_agree(value_of, reference, text):
    assert value_of(text, **SCOPE) == reference(text)


def test_the_parser_of_cel_python_is_left_as_it_was(value_of):
    before = CELParser.CEL_PARSER
    assert value_of("1 + 1") == 2
    assert CELParser.CEL_PARSER is before
