"""What templates for the Go original write: conditions, loops, guards, references, tokens; and a scope that has it."""

from __future__ import annotations

from typing import Any


def _names(text: str) -> list[str]:
    return text.split()


CONDITIONS = (
    "inputs.severity",
    "inputs.form_data.type == 'support'",
    "inputs.faq_keywords.exists(kw, inputs.message.contains(kw))",
    "!(iter.item in ['main', 'develop', 'master'])",
    "steps['run-tests'].exit_code == 0",
    "steps['extract'].status_code == 200",
    "steps['fetch-logs'].status_code == 200",
    "steps['auto-check'].status_code != 200",
    (
        "steps['check-clean'].exit_code == 0 && steps['run-tests'].exit_code == 0"
        " && steps['run-vet'].exit_code == 0"
    ),
    "steps['check-backup'].stdout.exists == true",
    "steps['check-backup'].stdout.age_hours <= inputs.max_age_hours",
    "steps['check-stock'].body.available == true",
    "steps['check-version'].stdout.update_available == true",
    "steps['parse-commits'].stdout.has_breaking_changes == true",
    "steps['scan'].stdout.vulnerabilities_found == true",
    "steps['hash-a'].hash != steps['hash-b'].hash",
    "steps['hash-content'].hash != inputs.last_hash",
)
OVERS = (
    "inputs.checklist_items",
    "inputs.endpoints",
    "inputs.pii_fields",
    "inputs.products",
    "inputs.sources",
    "steps['fetch-tickets'].body",
    "steps['list-files'].entries",
    "steps['parse-branches'].stdout",
    '["api", "db", "cache"]',
)
GUARDS = (
    "inputs.notification_url != ''",
    "steps['review-gate'].choice == 'approve'",
    "steps['check-drift.true.triage-drift'].choice == 'sync'",
    "steps['check-new-errors.true.triage-decision'].choice == 'investigate'",
)
_REFERRED_INPUTS = _names("""author checklist_items content deploy_environment draft_content error_logs_url health_url
max_age_hours message request_id request_summary sender_id source_a_url source_b_url source_url threshold title url
user_email user_name""")
_BRACKETED = {
    "analyze": ("stdout.anomaly_count", "stdout.details", "stdout.severity"),
    "check-backup": ("stdout.age_hours", "stdout.path", "stdout.size_mb"),
    "check-clean": ("exit_code", "stdout_raw"),
    "fetch-a": ("",),
    "fetch-b": ("",),
    "fetch-c": ("",),
    "fetch-context": ("",),
    "fetch-logs": ("status_code",),
    "gen-draft-id": ("uuid",),
    "hash-a": ("hash",),
    "hash-b": ("hash",),
    "parse-commits": ("stdout.commits", "stdout.features", "stdout.fixes", "stdout.total"),
    "run-tests": ("exit_code", "stderr", "stdout"),
    "run-vet": ("exit_code", "stderr"),
}
REFERENCES = (
    *(f"inputs.{name}" for name in _REFERRED_INPUTS),
    *(
        f"steps['{step_id}']{'.' if path else ''}{path}"
        for step_id, paths in _BRACKETED.items()
        for path in paths
    ),
    "steps.scan.stdout.critical",
    "steps.scan.stdout.high",
    "steps.scan.stdout.medium",
    "steps.scan.stdout.packages",
)
"""Values of `data_inject` that are CEL as well as paths."""

PATHS_ONLY = (
    "loop.item",
    "steps.analyze.output.result",
    "steps.fetch.output.status_code",
    "steps.hash-content.output.hash",
    "steps.verify-items.output",
)
"""Values of `data_inject` in which only our paths make sense."""

_TOKEN_INPUTS = _names("""alert_webhook_url api_url backup_dir blog_api_url calendar_url cdn_upload_url changelog_path
company_lookup_url content crm_url csv_path current_version data_url deploy_environment deploy_webhook_url
destination_url documents_url email_api_url endpoint_a endpoint_b endpoint_c error_logs_url fulfillment_api_url
health_url inbox_api_url input_dir input_path install_dir kb_path lead_email linkedin_api_url log_path logs_url message
metrics_api_url notes_url notification_api_url notification_url order_api_url order_id output_dir output_path
payment_api_url prs_url recipient recipient_email repo_dir repo_url report_path request_id respond_api_url sales_api_url
send_api_url sender_id service_name service_url severity slack_channel_url slack_dm_url slack_webhook_url
social_lookup_url source_a_url source_b_url source_c_url source_path source_url stock_api_url sync_url system_a_url
system_b_url template_response ticket_api_url tickets_url title twitter_api_url upsert_url url user_email user_name
users_api_url""")
_TOKEN_OUTPUTS = {
    "analyze": ("result",),
    "check-backup": ("stdout.age_hours", "stdout.path", "stdout.size_mb"),
    "check-version": ("stdout.latest_version", "stdout.tag_ref"),
    "fetch-a": ("content_type", "status_code"),
    "fetch-b": ("content_type", "status_code"),
    **dict.fromkeys(
        _names(
            "fetch-logs fetch-metrics fetch-prs fetch-sales fetch-tickets fetch-users lookup-company"
        ),
        ("status_code",),
    ),
    "lookup-social": ("status_code",),
    "update-service": ("status_code",),
    "fetch": ("status_code", "content_type"),
    "fetch-order": ("status_code", "status"),
    "fetch-source": ("status",),
    **dict.fromkeys(("fetch-tags", "git-log", "list-merged"), ("stdout_raw",)),
    **dict.fromkeys(("generate-invoice-id", "generate-secret"), ("uuid",)),
    **dict.fromkeys(_names("hash-a hash-b hash-message hash-payload hash-source"), ("hash",)),
    "parse-commits": ("stdout.features", "stdout.fixes"),
    "parse-csv": ("stdout.count",),
    "read-source": ("path", "size"),
}
TOKENS = (
    *(f"inputs.{name}" for name in _TOKEN_INPUTS),
    *(f"inputs.form_data.{name}" for name in ("email", "message", "name", "type")),
    *(f"inputs.order.{name}" for name in ("id", "price", "product", "quantity")),
    "inputs.payload.event",
    *("loop.item", "loop.item.name", "loop.item.url", "loop.item.threshold"),
    *(
        f"steps.{step_id}.output.{path}"
        for step_id, paths in _TOKEN_OUTPUTS.items()
        for path in paths
    ),
    "steps['review-gate'].choice",
)


def wild_document() -> dict[str, Any]:
    """What all of them mean, made up: every text says where it stands."""
    inputs: dict[str, Any] = {name: f"<{name}>" for name in (*_REFERRED_INPUTS, *_TOKEN_INPUTS)}
    inputs |= {
        "message": "please refund",
        "faq_keywords": ["price", "refund"],
        "form_data": {"type": "support", "email": "a@b.example", "message": "m", "name": "n"},
        "order": {"id": "o-1", "price": 9.5, "product": "p", "quantity": 2},
        "payload": {"event": "push"},
        "max_age_hours": 3.5,
        "threshold": 2,
        "last_hash": "cd",
        **{name: [f"{name} 1"] for name in ("checklist_items", "endpoints", "pii_fields")},
        **{name: [{"name": f"{name} 1"}] for name in ("products", "sources")},
    }
    item = {"name": "api", "url": "http://api.example/", "threshold": 1.5}
    loop = {"item": item, "index": 0}
    return {
        "inputs": inputs,
        "steps": _outputs(),
        "workflow": {},
        "context": {},
        "loop": loop,
        "iter": loop,
    }


def _outputs() -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    for table in (_BRACKETED, _TOKEN_OUTPUTS):
        for step_id, paths in table.items():
            for path in paths:
                _put(outputs.setdefault(step_id, {}), path, f"<{step_id}>")
    for step_id, path, value in _VALUES:
        _put(outputs.setdefault(step_id, {}), path, value)
    outputs["verify-items"] = [{"ok": True}]
    return outputs


def _put(output: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        output = output.setdefault(name, {})
    if last:
        output[last] = value


_VALUES: tuple[tuple[str, str, Any], ...] = (
    *((step_id, "exit_code", 0) for step_id in ("run-tests", "run-vet", "check-clean")),
    *((step_id, "status_code", 200) for step_id in ("extract", "fetch-logs", "fetch-a", "fetch")),
    ("auto-check", "status_code", 503),
    ("check-backup", "stdout.exists", True),
    ("check-backup", "stdout.age_hours", 3),
    ("check-stock", "body.available", True),
    ("check-version", "stdout.update_available", False),
    ("parse-commits", "stdout.has_breaking_changes", True),
    *(("scan", f"stdout.{name}", 4) for name in ("critical", "high", "medium")),
    ("scan", "stdout.packages", ["p"]),
    ("scan", "stdout.vulnerabilities_found", True),
    ("hash-content", "hash", "cc"),
    ("fetch-tickets", "body", [{"id": 1}]),
    ("list-files", "entries", ["x"]),
    ("parse-branches", "stdout", ["main", "feature"]),
    ("review-gate", "choice", "approve"),
    ("check-drift.true.triage-drift", "choice", "sync"),
    ("check-new-errors.true.triage-decision", "choice", "ignore"),
)
