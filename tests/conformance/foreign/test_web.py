"""Foreign definitions that work over the web and ask nobody: through the daemon, each to its expected end."""

from __future__ import annotations

import pytest

from tests.conformance.foreign.ground import Ground, Json, has, logged, sha256

pytestmark = pytest.mark.needs("corpus")

ALERT = {"title": "Disk", "message": "full"}


async def test_alert_pipeline_tells_everybody_of_what_is_critical(ground: Ground) -> None:
    urls = {
        "slack_dm_url": ground.service("/dm", drops=1),
        "email_api_url": ground.service("/mail", {"queued": True}),
    }
    view = await ground.run("alert-pipeline", {**ALERT, "severity": "critical", **urls})
    assert view.status == "completed"
    assert [each["text"].endswith("Disk: full") for each in ground.bodies("/dm")] == [True, True]
    (mail,) = ground.bodies("/mail")
    assert has(mail, {"body": "full", "priority": "high"})
    assert mail["subject"].endswith("Disk")
    (emitted,) = view.payloads("workflow_emitted")
    assert emitted["event_type"] == "critical_alert"
    assert emitted["payload"] == {**ALERT, "severity": "critical"}
    notify = "route-severity.critical.critical-notify"
    assert view.steps[f"{notify}.branch_0.slack-dm"]["attempts"] == 2
    branches = view.output["output"]["branches"]
    assert [each.get("status_code") for each in branches] == [200, 200, None]
    assert (view.output["branch"], branches[1]["body"]) == ("critical", {"queued": True})


async def test_alert_pipeline_tells_the_channel_of_a_warning(ground: Ground) -> None:
    url = ground.service("/channel")
    given = {**ALERT, "severity": "warning", "slack_channel_url": url}
    view = await ground.run("alert-pipeline", given)
    assert (view.status, view.output["branch"]) == ("completed", "warning")
    (body,) = ground.bodies("/channel")
    assert body["text"].endswith("Disk: full")


async def test_alert_pipeline_only_logs_what_is_for_information(ground: Ground) -> None:
    view = await ground.run("alert-pipeline", {**ALERT, "severity": "info"})
    expected = {"branch": "info", "output": {"logged": True}}
    assert (view.status, view.output) == ("completed", expected)
    assert logged(view, "route-severity.info.log-info")["message"].endswith("Disk: full")


async def test_alert_pipeline_without_the_urls_that_it_needs_fails_and_names_the_parameter(
    ground: Ground,
) -> None:
    view = await ground.run("alert-pipeline", {**ALERT, "severity": "warning"})
    step = view.steps["route-severity.warning.slack-channel"]
    assert (view.status, step["status"], step["attempts"]) == ("failed", "failed", 1)
    assert step["error"]["code"] == "VALIDATION_ERROR"
    assert "url" in step["error"]["message"]


async def test_alert_pipeline_refuses_a_severity_that_its_schema_does_not_know(
    ground: Ground,
) -> None:
    with pytest.raises(AssertionError, match="severity"):
        await ground.run("alert-pipeline", {**ALERT, "severity": "odd"})


@pytest.mark.parametrize("given", [{"template_response": "Reset it."}, {}], ids=["given", "absent"])
async def test_auto_responder_answers_a_known_question_from_the_template(
    ground: Ground, given: Json
) -> None:
    message = "I forgot my password"
    inputs = {
        "message": message,
        "faq_keywords": ["billing", "password"],
        "respond_api_url": ground.service("/respond"),
        "sender_id": "s-1",
    }
    view = await ground.run("auto-responder", inputs | given)
    assert (view.status, view.output["branch"]) == ("completed", "true")
    assert ground.bodies("/respond") == [
        {
            "sender_id": "s-1",
            "response": given.get("template_response", ""),
            "tracking_hash": sha256(message),
            "type": "faq",
        }
    ]


async def test_digest_builder_goes_on_without_a_source_that_is_gone(ground: Ground) -> None:
    inputs = {
        "sources": [ground.service("/one", {"n": 1}), ground.nowhere(), ground.service("/two")],
        "send_api_url": ground.service("/send"),
        "recipient": "team@example.org",
    }
    view = await ground.run("digest-builder", inputs)
    assert view.status == "completed"
    loop = view.outputs["fetch-sources"]
    results = loop["results"]
    assert (loop["iterations"], results[0]["body"], results[1]) == (3, {"n": 1}, None)
    gone = view.steps["fetch-sources.iter_1.fetch-url"]
    assert (gone["status"], gone["ignored"], gone["attempts"]) == ("completed", True, 3)
    (body,) = ground.bodies("/send")
    assert has(body, {"to": "team@example.org"})
    assert logged(view, "log-digest")["fields"] == {"recipient": "team@example.org"}


async def test_error_aggregator_asks_nobody_when_the_logs_cannot_be_had(ground: Ground) -> None:
    inputs = {
        "error_logs_url": ground.unwilling("/logs"),
        "ticket_api_url": ground.service("/tickets"),
    }
    view = await ground.run("error-aggregator", inputs)
    expected = {"branch": "default", "output": {"logged": True}}
    assert (view.status, view.output) == ("completed", expected)
    assert logged(view, "log-fetched")["fields"] == {"status_code": 503}
    assert ground.requests("/tickets") == 0


FORM = {"name": "Ada", "email": "ada@example.org", "message": 'it "broke"\nagain'}


@pytest.mark.parametrize(
    ("kind", "goes_to", "branch"), [("support", "ticket", "true"), ("praise", "inbox", "default")]
)
async def test_form_processor_sends_a_form_where_it_belongs(
    ground: Ground, kind: str, goes_to: str, branch: str
) -> None:
    form = {**FORM, "type": kind}
    url = ground.service(f"/{goes_to}")
    view = await ground.run("form-processor", {"form_data": form, f"{goes_to}_api_url": url})
    assert (view.status, view.output["branch"]) == ("completed", branch)
    assert ground.bodies(f"/{goes_to}") == [{**form, "message_hash": sha256(FORM["message"])}]


async def test_form_processor_fails_where_the_needed_url_was_not_given(ground: Ground) -> None:
    form = {**FORM, "type": "support"}
    url = ground.service("/inbox")
    view = await ground.run("form-processor", {"form_data": form, "inbox_api_url": url})
    step = view.steps["route.true.create-ticket"]
    assert (view.status, step["error"]["code"]) == ("failed", "VALIDATION_ERROR")
    assert ground.requests("/inbox") == 0


async def test_health_check_sweep_goes_on_past_an_endpoint_that_is_ill_and_one_that_hesitates(
    ground: Ground,
) -> None:
    inputs = {
        "endpoint_a": ground.service("/a", {"up": True}),
        "endpoint_b": ground.unwilling("/b"),
        "endpoint_c": ground.service("/c", drops=1),
    }
    view = await ground.run("health-check-sweep", inputs)
    assert (view.status, view.output) == ("completed", {"logged": True})
    codes = [view.outputs[f"check-{each}"] for each in "abc"]
    assert [each["status_code"] for each in codes] == [200, 503, 200]
    assert view.steps["check-c"]["attempts"] == 2
    loop = view.outputs["validate-services"]
    names = ("api", "db", "cache")
    assert [each["hash"] for each in loop["results"]] == [sha256(each) for each in names]


async def test_knowledge_base_updater_leaves_the_file_alone_when_nothing_has_changed(
    ground: Ground,
) -> None:
    inputs = {
        "source_url": ground.service("/source"),
        "last_hash": sha256("200 OK"),
        "kb_path": ground.file("kb.md", "as it was"),
    }
    view = await ground.run("knowledge-base-updater", inputs)
    expected = {"branch": "default", "output": {"logged": True}}
    assert (view.status, view.output) == ("completed", expected)
    assert ground.read("kb.md") == "as it was"


MEETING = {
    "meeting-prep-brief": ("calendar", "documents", "notes"),
    "standup-report": ("tickets", "prs", "logs"),
}


@pytest.mark.parametrize("file", MEETING)
async def test_three_sources_are_fetched_and_a_file_is_written(ground: Ground, file: str) -> None:
    names = MEETING[file]
    urls = {f"{name}_url": ground.service(f"/{name}", [name]) for name in names}
    view = await ground.run(file, {**urls, "output_path": ground.path("out.txt")})
    assert view.status == "completed"
    assert [view.outputs[f"fetch-{name}"]["body"] for name in names] == [[each] for each in names]
    assert view.output["size"] == len(ground.read("out.txt")) > 0
    fields = logged(view, "log-merge").get("fields") or {}
    assert set(fields.values()) <= {200}


async def test_a_source_that_is_gone_fails_the_report_after_its_retries(ground: Ground) -> None:
    urls = {"tickets_url": ground.nowhere()}
    urls |= {f"{name}_url": ground.service(f"/{name}") for name in ("prs", "logs")}
    view = await ground.run("standup-report", {**urls, "output_path": ground.path("out.txt")})
    assert view.status == "failed"
    step = view.steps["fetch-tickets"]
    assert (view.error["code"], view.error["step_id"]) == ("STEP_FAILED", "fetch-tickets")
    assert view.error["cause"] == step["error"]
    assert (step["attempts"], step["error"]["code"]) == (3, "RETRY_EXHAUSTED")
    assert step["error"]["cause"]["code"] == "EXECUTION_ERROR"
    assert view.steps["write-report"]["reason"] == "dependency"
    assert not (ground.folder / "out.txt").exists()


async def test_price_monitor_tells_the_threshold_of_each_product_as_a_number(
    ground: Ground,
) -> None:
    urls = [ground.service("/lamp", {"price": 20}), ground.nowhere()]
    given = zip(("Lamp", "Desk"), urls, (25.0, 99.5), strict=True)
    products = [dict(zip(("name", "url", "threshold"), each, strict=True)) for each in given]
    inputs = {"products": products, "notification_api_url": ground.service("/notify")}
    view = await ground.run("price-monitor", inputs)
    assert (view.status, view.output) == ("completed", {"logged": True})
    bodies = ground.bodies("/notify")
    assert [(each["product"], each["threshold"]) for each in bodies] == [
        ("Lamp", 25),
        ("Desk", 99.5),
    ]
    assert view.steps["check-prices.iter_1.fetch-price"]["ignored"] is True
    assert view.outputs["check-prices"]["iterations"] == 2


async def test_report_generator_writes_a_report_and_sends_it_round(ground: Ground) -> None:
    names = ("sales", "users", "metrics")
    urls = {f"{name}_api_url": ground.service(f"/{name}") for name in names}
    inputs = {"report_path": ground.path("report"), "email_api_url": ground.service("/mail")}
    view = await ground.run("report-generator", {**urls, **inputs})
    assert (view.status, view.output["status_code"]) == ("completed", 200)
    assert logged(view, "log-merge")["fields"] == {f"{name}_status": 200 for name in names}
    assert ground.read("report")
    (body,) = ground.bodies("/mail")
    assert has(body, {"report_path": ground.path("report")})


async def test_social_cross_post_posts_where_it_can_and_without_a_title(ground: Ground) -> None:
    inputs = {
        "content": "We are hiring",
        "twitter_api_url": ground.service("/twitter", {"id": 1}),
        "linkedin_api_url": ground.nowhere(),
        "blog_api_url": ground.service("/blog", {"id": 3}),
    }
    view = await ground.run("social-cross-post", inputs)
    assert (view.status, view.output) == ("completed", {"logged": True})
    assert ground.bodies("/twitter") == [{"status": "We are hiring"}]
    blog = {"title": "", "content": "We are hiring", "status": "published"}
    assert ground.bodies("/blog") == [blog]
    branches = view.outputs["cross-post"]["branches"]
    assert [each and each["body"] for each in branches] == [{"id": 1}, None, {"id": 3}]


async def test_uptime_monitor_logs_every_endpoint_and_sends_its_alert(ground: Ground) -> None:
    urls = [ground.service("/up"), ground.unwilling("/ill"), ground.nowhere()]
    endpoints = [{"name": f"e{n}", "url": url} for n, url in enumerate(urls)]
    inputs = {"endpoints": endpoints, "alert_webhook_url": ground.service("/alert")}
    view = await ground.run("uptime-monitor", inputs)
    assert (view.status, view.output["status_code"]) == ("completed", 200)
    for n, url in enumerate(urls):
        fields = logged(view, f"check-endpoints.iter_{n}.log-status")["fields"]
        assert fields == {"endpoint_name": f"e{n}", "url": url}
    ill = view.outputs["check-endpoints.iter_1.ping"]
    assert ill["status_code"] == 503
    assert len(ground.bodies("/alert")) == 1


async def test_webhook_handler_forwards_the_event_after_a_cut_connection(ground: Ground) -> None:
    url = ground.service("/in", drops=1)
    payload = {"event": "user.created", "data": {"id": 123}}
    view = await ground.run("webhook-handler", {"payload": payload, "destination_url": url})
    assert (view.status, view.steps["forward"]["attempts"]) == ("completed", 2)
    expected = {"event": "user.created", "payload_hash": sha256("user.created")}
    assert ground.bodies("/in") == [expected, expected]
    fields = logged(view, "log-event")["fields"]
    assert fields == {"event": "user.created", "destination": url} | {
        "payload_hash": sha256("user.created")
    }
