"""`data_inject`: references, templates, and texts that merely look like something."""

import pytest

from opcode_runtime.expressions import compile_data_inject
from opcode_runtime.model.errors import ErrorCode, OpcodeError

INPUTS = [
    "author",
    "checklist_items",
    "content",
    "deploy_environment",
    "draft_content",
    "error_logs_url",
    "health_url",
    "max_age_hours",
    "message",
    "request_id",
    "request_summary",
    "sender_id",
    "source_a_url",
    "source_b_url",
    "source_url",
    "threshold",
    "title",
    "url",
    "user_email",
    "user_name",
]
OUTPUTS = {
    "analyze": {
        "result": "r",
        "stdout": {"anomaly_count": 2, "details": ["d"], "severity": "high"},
    },
    "fetch": {"status_code": 200},
    "hash-content": {"hash": "cc"},
    "verify-items": [{"ok": True}],
    "scan": {"stdout": {"critical": 4, "high": 3, "medium": 2, "packages": ["p"]}},
    "check-backup": {"stdout": {"age_hours": 1.5, "path": "/p", "size_mb": 7}},
    "check-clean": {"exit_code": 0, "stdout_raw": "M x"},
    "fetch-a": {"a": 1},
    "fetch-b": {"b": 1},
    "fetch-c": {"c": 1},
    "fetch-context": None,
    "fetch-logs": {"status_code": 503},
    "gen-draft-id": {"uuid": "u"},
    "hash-a": {"hash": "aa"},
    "hash-b": {"hash": "bb"},
    "parse-commits": {"stdout": {"commits": [1], "features": 2, "fixes": 3, "total": 4}},
    "run-tests": {"exit_code": 1, "stderr": "e", "stdout": "o"},
    "run-vet": {"exit_code": 0, "stderr": ""},
}
REFERENCES = [
    ("steps.analyze.output.result", "r"),
    ("steps.fetch.output.status_code", 200),
    ("steps.hash-content.output.hash", "cc"),
    ("steps.verify-items.output", [{"ok": True}]),
    *((f"inputs.{name}", f"the {name}") for name in INPUTS),
    ("loop.item", {"name": "n"}),
    ("steps.scan.stdout.critical", 4),
    ("steps.scan.stdout.high", 3),
    ("steps.scan.stdout.medium", 2),
    ("steps.scan.stdout.packages", ["p"]),
    ("steps['analyze'].stdout.anomaly_count", 2),
    ("steps['analyze'].stdout.details", ["d"]),
    ("steps['analyze'].stdout.severity", "high"),
    ("steps['check-backup'].stdout.age_hours", 1.5),
    ("steps['check-backup'].stdout.path", "/p"),
    ("steps['check-backup'].stdout.size_mb", 7),
    ("steps['check-clean'].exit_code", 0),
    ("steps['check-clean'].stdout_raw", "M x"),
    ("steps['fetch-a']", {"a": 1}),
    ("steps['fetch-b']", {"b": 1}),
    ("steps['fetch-c']", {"c": 1}),
    ("steps['fetch-context']", None),
    ("steps['fetch-logs'].status_code", 503),
    ("steps['gen-draft-id'].uuid", "u"),
    ("steps['hash-a'].hash", "aa"),
    ("steps['hash-b'].hash", "bb"),
    ("steps['parse-commits'].stdout.commits", [1]),
    ("steps['parse-commits'].stdout.features", 2),
    ("steps['parse-commits'].stdout.fixes", 3),
    ("steps['parse-commits'].stdout.total", 4),
    ("steps['run-tests'].exit_code", 1),
    ("steps['run-tests'].stderr", "e"),
    ("steps['run-tests'].stdout", "o"),
    ("steps['run-vet'].exit_code", 0),
    ("steps['run-vet'].stderr", ""),
]


@pytest.fixture
def injected(scope_of, step):
    steps = {step_id: step(output) for step_id, output in OUTPUTS.items()}
    scope = scope_of(
        steps=steps,
        inputs={name: f"the {name}" for name in INPUTS},
        loop={"item": {"name": "n"}, "index": 0},
    )

    def value(written):
        inject = compile_data_inject(written, step_ids=steps)
        return inject.template.render(scope), inject.warning

    return value


def test_all_references_in_the_wild_are_here():
    assert len(dict(REFERENCES)) == len(REFERENCES) == 54


@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_a_reference_without_braces_is_resolved(injected, text, expected):
    assert injected(text) == (expected, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" inputs.title ", "the title"),
        ("inputs.title + '!'", "the title!"),
        ("inputs.nope ?? 'none'", "none"),
        ("steps.scan.stdout.critical > 3 && has(inputs.url)", True),
        ("[inputs.title, steps.hash-content.hash]", ["the title", "cc"]),
        ("context.region", "eu"),
        ("workflow.run_id", "w-1"),
        ("iter.index", 0),
    ],
)
def test_so_is_an_expression_that_names_a_namespace(injected, text, expected):
    assert injected(text) == (expected, None)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${{inputs.title}}", "the title"),
        ("about ${{inputs.title}}", "about the title"),
        ("$${{inputs.title}}", "${{inputs.title}}"),
        (3, 3),
        (None, None),
        (True, True),
        (["inputs.title", "${{inputs.title}}"], ["inputs.title", "the title"]),
        ({"a": {"b": "${{steps.fetch.status_code}}"}}, {"a": {"b": 200}}),
    ],
)
def test_templates_and_json_are_filled_in_without_a_warning(injected, written, expected):
    assert injected(written) == (expected, None)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("2024-01-15", "names no namespace"),
        ("urgent", "names no namespace"),
        ("'quoted'", "names no namespace"),
        ("1 + 1", "names no namespace"),
        ("true", "names no namespace"),
        ("https://example.com/a?b=c#d", "is no expression"),
        ("Please look at the logs.", "is no expression"),
        ("the inputs are late", "is no expression"),
        ("inputs.a ==", "is no expression"),
        ("it's", "is no expression"),
        ("", "is no expression"),
        ("\n", "is no expression"),
        ("x" * 20_000, "is no expression"),
        ("{{inputs.title}}", "is no expression"),
        ("inputsx.title", "names no namespace"),
    ],
)
def test_any_other_text_is_itself_with_a_warning(injected, text, warning):
    value, said = injected(text)
    assert value == text
    assert warning in said
    assert "as it is written" in said
    assert len(said) < 200


def test_a_warning_quotes_the_text(injected):
    assert injected("urgent")[1] == (
        "'urgent' names no namespace, so it is handed on as it is written"
    )


@pytest.mark.parametrize(
    "text", ["${{inputs.}}", "secrets.TOKEN", "'x' + secrets.TOKEN", "${{ secrets.TOKEN }}"]
)
def test_wrong_templates_and_secrets_are_refused(text):
    with pytest.raises(OpcodeError) as caught:
        compile_data_inject(text)
    assert caught.value.code is ErrorCode.VALIDATION_ERROR


def test_what_is_named_can_be_checked():
    ((_, expression),) = compile_data_inject("steps['nope'].x").template.expressions
    assert expression.roots.steps == {"nope"}
    assert compile_data_inject("urgent").template.expressions == ()
