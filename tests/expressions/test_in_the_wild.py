"""Expressions of templates that were written for the Go original."""

import pytest

from opcode_runtime.expressions import check_guard

OUTPUTS = {
    "run-tests": {"exit_code": 0, "stdout": "ok"},
    "run-vet": {"exit_code": 0},
    "check-clean": {"exit_code": 0},
    "extract": {"status_code": 200},
    "fetch-logs": {"status_code": 200, "body": [1, 2]},
    "auto-check": {"status_code": 500},
    "check-backup": {"stdout": {"exists": True, "age_hours": 3, "size_mb": 1.5}},
    "check-stock": {"body": {"available": True}},
    "check-version": {"stdout": {"update_available": True, "latest_version": "v2"}},
    "parse-commits": {"stdout": {"has_breaking_changes": True, "features": ["f"]}},
    "scan": {"stdout": {"vulnerabilities_found": True, "critical": 4}},
    "hash-a": {"hash": "aa"},
    "hash-b": {"hash": "bb"},
    "hash-content": {"hash": "cc"},
    "list-files": {"entries": ["x"]},
    "review-gate": {"choice": "approve"},
    "check-drift.true.triage-drift": {"choice": "sync"},
    "check-new-errors.true.triage-decision": None,
    "generate-invoice-id": {"uuid": "u-1"},
}
INPUTS = {
    "severity": "high",
    "title": "Disk",
    "message": "please refund",
    "form_data": {"type": "support", "email": "a@b"},
    "faq_keywords": ["price", "refund"],
    "max_age_hours": 3.5,
    "last_hash": "cd",
    "checklist_items": ["a"],
}


@pytest.fixture
def wild(value_of, rendered, step):
    scope = {
        "steps": {step_id: step(output) for step_id, output in OUTPUTS.items()},
        "inputs": INPUTS,
        "loop": {"item": "feature/x", "index": 0},
    }
    return lambda text: (value_of(text, **scope), rendered(f"<${{{{{text}}}}}>", **scope))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.severity", "high"),
        ("inputs.form_data.type == 'support'", True),
        ("inputs.faq_keywords.exists(kw, inputs.message.contains(kw))", True),
        ("!(iter.item in ['main', 'develop', 'master'])", True),
        ("steps['run-tests'].exit_code == 0", True),
        ("steps['extract'].status_code == 200", True),
        ("steps['auto-check'].status_code != 200", True),
        (
            (
                "steps['check-clean'].exit_code == 0 && steps['run-tests'].exit_code == 0"
                " && steps['run-vet'].exit_code == 0"
            ),
            True,
        ),
        ("steps['check-backup'].stdout.exists == true", True),
        ("steps['check-backup'].stdout.age_hours <= inputs.max_age_hours", True),
        ("steps['check-stock'].body.available == true", True),
        ("steps['check-version'].stdout.update_available == true", True),
        ("steps['parse-commits'].stdout.has_breaking_changes == true", True),
        ("steps['scan'].stdout.vulnerabilities_found == true", True),
        ("steps['hash-a'].hash != steps['hash-b'].hash", True),
        ("steps['hash-content'].hash != inputs.last_hash", True),
        ("inputs.checklist_items", ["a"]),
        ("steps['fetch-logs'].body", [1, 2]),
        ("steps['list-files'].entries", ["x"]),
        ('["api", "db", "cache"]', ["api", "db", "cache"]),
        ("steps.scan.stdout.critical", 4),
        ("steps.hash-content.output.hash", "cc"),
        ("steps.check-version.output.stdout.latest_version", "v2"),
        ("loop.item", "feature/x"),
    ],
)
def test_expressions_in_the_wild(wild, text, expected):
    assert wild(text)[0] == expected


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("inputs.notification_url != ''", False),
        ("steps['review-gate'].choice == 'approve'", True),
        ("steps['check-drift.true.triage-drift'].choice == 'sync'", True),
        ("steps['check-new-errors.true.triage-decision'].choice == 'investigate'", False),
    ],
)
def test_guards_in_the_wild(value_of, step, text, holds):
    value = value_of(
        text,
        steps={step_id: step(output) for step_id, output in OUTPUTS.items()},
        inputs=INPUTS,
        declared_inputs={"notification_url": {"type": "string"}},
    )
    assert check_guard(value) is holds


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("[CRITICAL] ${{inputs.title}}: ${{inputs.message}}", "[CRITICAL] Disk: please refund"),
        ("Invoice ${{steps.generate-invoice-id.output.uuid}}", "Invoice u-1"),
        (
            "Unknown severity '${{inputs.severity}}' for alert: ${{inputs.title}}",
            "Unknown severity 'high' for alert: Disk",
        ),
        ("Decision: ${{steps['review-gate'].choice}}", "Decision: approve"),
        ("${{ steps.parse-commits.output.stdout.features }}", ["f"]),
        ("${{steps.scan.output}}", {"stdout": {"vulnerabilities_found": True, "critical": 4}}),
    ],
)
def test_texts_in_the_wild(rendered, step, template, expected):
    steps = {step_id: step(output) for step_id, output in OUTPUTS.items()}
    assert rendered(template, steps=steps, inputs=INPUTS) == expected
