"""The foreign definitions that ask somebody: what each needs around it, what it asks, and what comes of an answer.

Rule 1: everything here is about what a definition does, in our own words; the definitions' own texts are not repeated.
Rule 2: most of them go on in the same way whatever is answered. That is how they are written, so that is their end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from tests.conformance.foreign.ground import Ground, Json
from tests.conformance.stage import View

SCAN = """
echo '{"vulnerabilities_found": true, "critical": 2, "high": 0, "medium": 7, "packages": ["left", "right"]}'
"""
ANALYZE = """
import json, sys
lines = open(sys.argv[1]).read().splitlines()
bad = [line for line in lines if "ERROR" in line]
print(json.dumps({"anomaly_count": len(bad), "severity": "high", "details": bad}))
"""
CHECK_BACKUP = """
if [ -e "$1/age" ]
then printf '{"exists": true, "path": "%s/full", "size_mb": 1.5, "age_hours": %s}' "$1" "$(cat "$1/age")"
else echo '{"exists": false}'
fi
"""


class Free(Enum):
    """A text that the definition has and this project does not repeat."""

    TEXT = "text"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A definition with one open question in it.

    Arguments:
        file: its name in the corpus, without the ending.
        step_id: the runtime id of the step that asks.
        prepare: makes what is needed around it and gives the inputs.
        asks: the `data_inject` that whoever answers must see.
        end: checks how it ended, given what was chosen.
        yes: an answer, and `no` another one; both differ from `fallback` wherever the options allow it.
        fallback: what is chosen when nobody answers: an option's id, a text of the definition's own, or None, and then
            the step fails.
        timeout_s: after how long that is.
    """

    file: str
    step_id: str
    prepare: Callable[[Ground], Awaitable[Json]]
    asks: Callable[[Ground, View], Json]
    end: Callable[[Ground, View, str], None]
    yes: str
    no: str
    fallback: str | Free | None
    timeout_s: int = 3600
    free: bool = False


async def _auto_responder(ground: Ground) -> Json:
    return {
        "message": "Where is my parcel?",
        "faq_keywords": ["password", "billing"],
        "respond_api_url": ground.service("/respond"),
        "sender_id": "s-1",
    }


def _auto_responder_end(ground: Ground, view: View, choice: str) -> None:
    assert view.output["branch"] == "default"
    assert view.output["output"]["choice"] == choice
    assert ground.requests("/respond") == 0


async def _backup(ground: Ground) -> Json:
    ground.file("scripts/check_backup.sh", CHECK_BACKUP)
    ground.file("backups/age", "30.5")
    return {"backup_dir": ground.path("backups"), "max_age_hours": 24}


def _backup_end(_ground: Ground, view: View, choice: str) -> None:
    inner = view.outputs["verify-exists.true.check-freshness"]
    assert view.output == {"branch": "true", "output": inner}
    assert (inner["branch"], inner["output"]["choice"]) == ("default", choice)
    assert not view.payloads("workflow_logged")


async def _content_pipeline(ground: Ground) -> Json:
    url = ground.service("/content")
    names = ("publish_api_url", "slack_webhook_url", "email_api_url")
    return {"content": "a draft", **dict.fromkeys(names, url)}


def _content_pipeline_end(ground: Ground, view: View, _choice: str) -> None:
    assert len(view.outputs["generate-id"]["uuid"]) == 36
    assert view.output == {"logged": True}
    assert ground.requests("/content") == 0


async def _content_summarizer(ground: Ground) -> Json:
    return {
        "url": ground.service("/article", {"title": "t"}),
        "output_path": ground.path("summary.txt"),
    }


def _content_summarizer_end(ground: Ground, view: View, choice: str) -> None:
    assert view.output["choice"] == choice
    assert ground.read("summary.txt")
    (logged,) = view.payloads("workflow_logged")
    assert logged["fields"]["status_code"] == 200
    assert logged["fields"]["content_type"] == "application/json"
    assert logged["fields"]["url"].endswith("/article")


async def _dependency_audit(ground: Ground) -> Json:
    ground.file("scripts/scan.sh", SCAN)
    return {"notification_url": ground.service("/alerts")}


def _dependency_audit_end(ground: Ground, view: View, choice: str) -> None:
    assert view.outputs["check-vulns"] == {"branch": "true"}
    assert view.outputs["triage"]["choice"] == choice
    (body,) = ground.bodies("/alerts")
    assert body["triage_complete"] is True
    assert view.output["status_code"] == 200


async def _error_aggregator(ground: Ground) -> Json:
    return {
        "error_logs_url": ground.service("/logs", [{"level": "error"}]),
        "ticket_api_url": ground.service("/tickets", {"id": 7}),
    }


def _error_aggregator_end(ground: Ground, view: View, choice: str) -> None:
    ticket = view.steps["check-new-errors.true.create-ticket"]
    if choice == "investigate":
        (body,) = ground.bodies("/tickets")
        assert body["source"].endswith("/logs")
        assert view.output["output"]["body"] == {"id": 7}
    else:
        assert (ticket["status"], ticket["reason"]) == ("skipped", "guard")
        assert ground.requests("/tickets") == 0
        assert view.output["output"]["choice"] == choice


async def _free_form(ground: Ground) -> Json:
    return {
        "data_url": ground.service("/data", {"load": 0.75, "hosts": [{"name": "a"}]}),
        "alert_url": ground.service("/alert"),
    }


def _free_form_end(ground: Ground, view: View, choice: str) -> None:
    assert view.outputs["assess"]["choice"] == choice
    (logged,) = view.payloads("workflow_logged")
    assert logged["fields"]["source"].endswith("/data")
    assert (ground.requests("/data"), ground.requests("/alert")) == (1, 0)


async def _knowledge_base(ground: Ground) -> Json:
    return {
        "source_url": ground.service("/source", {"text": "new"}),
        "last_hash": "of something else",
        "kb_path": ground.file("kb.md", "what was there\n"),
    }


def _knowledge_base_end(ground: Ground, view: View, choice: str) -> None:
    """It has no guard behind the question: it appends whatever was answered."""
    assert view.outputs["check-changed.true.review-relevance"]["choice"] == choice
    before, added = ground.read("kb.md").split("\n", 1)
    assert before == "what was there"
    assert added
    assert view.output["output"]["path"] == ground.path("kb.md")


async def _log_anomaly(ground: Ground) -> Json:
    ground.file("scripts/analyze.py", ANALYZE)
    return {
        "log_path": ground.file("app.log", "INFO up\nERROR down\n"),
        "notification_url": ground.service("/notify"),
    }


def _log_anomaly_end(ground: Ground, view: View, choice: str) -> None:
    assert view.outputs["triage"]["choice"] == choice
    (body,) = ground.bodies("/notify")
    assert body["log_path"] == ground.path("app.log")


async def _research(ground: Ground) -> Json:
    return {f"source_{each}_url": ground.service(f"/{each}", {"at": each}) for each in "abc"}


def _research_end(ground: Ground, view: View, choice: str) -> None:
    assert view.outputs["pick-best"]["choice"] == choice
    assert [ground.requests(f"/{each}") for each in "abc"] == [1, 1, 1]
    assert view.output == {"logged": True}


async def _onboarding(ground: Ground) -> Json:
    return {
        "user_email": "ada@example.org",
        "user_name": "Ada",
        "email_api_url": ground.service("/mail"),
    }


def _onboarding_end(ground: Ground, view: View, choice: str) -> None:
    to = {"to": "ada@example.org", "name": "Ada"}
    expected = [to | {"template": template} for template in ("welcome", "tips")]
    assert ground.bodies("/mail") == expected
    waited = [view.outputs[f"wait-{each}"]["waited"] for each in ("welcome", "tips", "engagement")]
    assert [round(each / 1000) for each in waited] == [1, 2, 3]
    assert view.output["choice"] == choice


async def _repo_health(ground: Ground) -> Json:
    ground.file("repo/broken")
    await ground.git("init", "-q", cwd="repo")
    return {"repo_dir": ground.path("repo")}


def _repo_health_asks(ground: Ground, _view: View) -> Json:
    return {
        "git_status_exit": 0,
        "git_status_output": "?? broken\n",
        "test_exit": 1,
        "test_output": "test: broken\n",
        "vet_exit": 1,
        "vet_output": "vet: broken\n",
    }


def _repo_health_end(ground: Ground, view: View, choice: str) -> None:
    assert view.outputs["run-tests"]["stdout_raw"] == f"looked at {ground.path('repo')}\n"
    assert (view.output["branch"], view.output["output"]["choice"]) == ("default", choice)
    assert not view.payloads("workflow_logged")


GATES = [
    Gate(
        file="auto-responder",
        step_id="check-faq.default.draft-response",
        prepare=_auto_responder,
        asks=lambda _ground, _view: {"message": "Where is my parcel?", "sender_id": "s-1"},
        end=_auto_responder_end,
        yes="It is on its way.",
        no="We do not know.",
        fallback=None,
        free=True,
    ),
    Gate(
        file="backup-verification",
        step_id="verify-exists.true.check-freshness.default.stale-decision",
        prepare=_backup,
        asks=lambda ground, _view: {
            "backup_path": ground.path("backups/full"),
            "size_mb": 1.5,
            "age_hours": 30.5,
            "max_age_hours": 24,
        },
        end=_backup_end,
        yes="run-backup",
        no="investigate",
        fallback="investigate",
        timeout_s=1800,
    ),
    Gate(
        file="content-pipeline",
        step_id="review-content",
        prepare=_content_pipeline,
        asks=lambda _ground, _view: {"content": "a draft", "author": ""},
        end=_content_pipeline_end,
        yes="publish",
        no="revise",
        fallback="reject",
    ),
    Gate(
        file="content-summarizer",
        step_id="review-quality",
        prepare=_content_summarizer,
        asks=lambda ground, view: {
            "url": ground.service("/article"),
            "content_hash": view.outputs["hash-content"]["hash"],
            "status_code": 200,
        },
        end=_content_summarizer_end,
        yes="approve",
        no="revise",
        fallback="approve",
    ),
    Gate(
        file="dependency-audit",
        step_id="triage",
        prepare=_dependency_audit,
        asks=lambda _ground, _view: {
            "critical_count": 2,
            "high_count": 0,
            "medium_count": 7,
            "packages": ["left", "right"],
        },
        end=_dependency_audit_end,
        yes="patch_now",
        no="defer",
        fallback="patch_now",
    ),
    Gate(
        file="error-aggregator",
        step_id="check-new-errors.true.triage-decision",
        prepare=_error_aggregator,
        asks=lambda ground, _view: {"logs_url": ground.service("/logs"), "status_code": 200},
        end=_error_aggregator_end,
        yes="investigate",
        no="defer",
        fallback="investigate",
    ),
    Gate(
        file="free-form-decision",
        step_id="assess",
        prepare=_free_form,
        asks=lambda _ground, view: {"context_data": view.outputs["fetch-context"]},
        end=_free_form_end,
        yes="all is well",
        no="critical: act now",
        fallback=Free.TEXT,
        timeout_s=1800,
        free=True,
    ),
    Gate(
        file="knowledge-base-updater",
        step_id="check-changed.true.review-relevance",
        prepare=_knowledge_base,
        asks=lambda ground, view: {
            "source_url": ground.service("/source"),
            "content_hash": view.outputs["hash-content"]["hash"],
        },
        end=_knowledge_base_end,
        yes="relevant",
        no="not-relevant",
        fallback="not-relevant",
        timeout_s=300,
    ),
    Gate(
        file="log-anomaly-triage",
        step_id="triage",
        prepare=_log_anomaly,
        asks=lambda _ground, _view: {
            "anomaly_count": 1,
            "severity": "high",
            "details": ["ERROR down"],
        },
        end=_log_anomaly_end,
        yes="escalate",
        no="ignore",
        fallback="escalate",
    ),
    Gate(
        file="multi-source-research",
        step_id="pick-best",
        prepare=_research,
        asks=lambda _ground, view: {
            f"source_{each}_data": view.outputs[f"fetch-{each}"] for each in "abc"
        },
        end=_research_end,
        yes="source_b",
        no="source_c",
        fallback="source_a",
    ),
    Gate(
        file="onboarding-drip",
        step_id="engagement-decision",
        prepare=_onboarding,
        asks=lambda _ground, _view: {"user_email": "ada@example.org", "user_name": "Ada"},
        end=_onboarding_end,
        yes="send-advanced",
        no="mark-complete",
        fallback="pause-drip",
    ),
    Gate(
        file="repo-health-check",
        step_id="evaluate-results.default.issue-decision",
        prepare=_repo_health,
        asks=_repo_health_asks,
        end=_repo_health_end,
        yes="defer",
        no="ignore",
        fallback="investigate",
    ),
]
