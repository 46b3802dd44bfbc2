"""Valid definitions of our own, with every type of step and nearly every key: what mutations start from."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _act(name: str, action: str, params: Json | None = None, /, **keys: Any) -> Json:
    return {"id": name, "action": action, "params": params or {}} | keys


def _log(name: str, message: str, /, **keys: Any) -> Json:
    return _act(name, "workflow.log", {"message": message}, **keys)


BASES: dict[str, tuple[Json, Json | None]] = {
    "mirror": (
        {
            "inputs": {"page": "https://example.org/"},
            "timeout": "5m",
            "on_timeout": "fail",
            "metadata": {"owner": "docs"},
            "steps": [
                _act(
                    "fetch-page",
                    "http.get",
                    {"url": "${{inputs.page}}"},
                    timeout="20s",
                    retry={"max": 3, "backoff": "exponential", "delay": "1s", "max_delay": "30s", "jitter": 0.5},
                ),
                _act(
                    "store-page",
                    "fs.write",
                    {"path": "page.html", "content": "${{steps.fetch-page.output.body}}"},
                    depends_on=["fetch-page"],
                    condition="steps['fetch-page'].status_code == 200",
                ),
            ],
            "output": {"stored": "${{steps.store-page.output}}"},
        },
        {"properties": {"page": {"type": "string"}}},
    ),
    "spare": (
        {
            "steps": [
                _act(
                    "primary",
                    "http.post",
                    {"url": "https://one.example/", "body": {"go": True}},
                    on_error={"strategy": "fallback_step", "fallback_step": "spare-route"},
                ),
                _act("spare-route", "http.post", {"url": "https://two.example/"}, idempotent=True),
                _log("told", "sent by ${{steps.primary.status}}", depends_on=["primary"]),
            ],
            "on_complete": _log("celebrate", "all is well"),
            "on_error": _log("mourn", "${{workflow.error.message}}"),
        },
        None,
    ),
    "route": (
        {
            "steps": [
                _act("tests", "shell.exec", {"command": "make test"}, timeout="10m", on_interrupt="retry"),
                {
                    "id": "green",
                    "type": "condition",
                    "depends_on": ["tests"],
                    "config": {
                        "expression": "steps.tests.exit_code == 0 && inputs.ship",
                        "branches": {
                            "true": [
                                _act("release", "shell.exec", {"command": "make release"}),
                                _log("announce", "released: ${{steps.release.output.stdout}}"),
                            ],
                            "false": [],
                        },
                        "default": [_log("odd", "neither true nor false")],
                    },
                },
                _log("summary", "${{steps['green.true.release'].exit_code}}", depends_on=["green"]),
            ]
        },
        {"properties": {"ship": {"type": "boolean"}, "channel": {"type": "string"}}},
    ),
    "each": (
        {
            "context": {"purpose": "hash every file"},
            "steps": [
                _act("list-files", "fs.list", {"path": "."}),
                {
                    "id": "hash-all",
                    "type": "loop",
                    "depends_on": ["list-files"],
                    "timeout": "1h",
                    "config": {
                        "mode": "for_each",
                        "over": "steps['list-files'].entries",
                        "max_iter": 100,
                        "max_concurrency": 4,
                        "body": [
                            _act("read", "fs.read", {"path": "${{loop.item.path}}"}),
                            _act("digest", "crypto.hash", {"data": "${{steps.read.output.content}}"}),
                        ],
                    },
                },
            ],
        },
        None,
    ),
    "poll": (
        {
            "steps": [
                {
                    "id": "until-ready",
                    "type": "loop",
                    "config": {
                        "mode": "until",
                        "condition": "steps.look.status_code == 200 || iter.index > 20",
                        "max_iter": 30,
                        "body": [
                            _act("look", "http.get", {"url": "https://service.example/ready"}),
                            {"id": "rest", "type": "wait", "config": {"duration": "5s"}},
                        ],
                    },
                }
            ]
        },
        None,
    ),
    "race": (
        {
            "steps": [
                {
                    "id": "first-answer",
                    "type": "parallel",
                    "config": {
                        "mode": "race",
                        "branches": [
                            [_act("north", "http.get", {"url": "https://north.example/"})],
                            [_act("south", "http.get", {"url": "https://south.example/"})],
                        ],
                    },
                    "on_error": {"strategy": "ignore"},
                },
                _log("who", "${{steps['first-answer.branch_0.north'].status}}", depends_on=["first-answer"]),
            ]
        },
        None,
    ),
    "gate": (
        {
            "steps": [
                _act("draft", "shell.exec", {"command": "make draft"}),
                {
                    "id": "review",
                    "type": "reasoning",
                    "depends_on": ["draft"],
                    "timeout": "2h",
                    "config": {
                        "prompt_context": "Is the draft of ${{inputs.title}} fit to print?",
                        "data_inject": {"text": "steps.draft.stdout", "title": "inputs.title"},
                        "options": [
                            {"id": "publish", "description": "print it"},
                            {"id": "rewrite", "description": "back to the author"},
                        ],
                        "timeout": "1h",
                        "fallback": "rewrite",
                        "target_agent": "editor",
                    },
                },
                _act(
                    "publish",
                    "shell.exec",
                    {"command": "make publish"},
                    depends_on=["review"],
                    condition="steps.review.choice == 'publish'",
                ),
            ]
        },
        {"properties": {"title": {"type": "string"}}},
    ),
    "free": (
        {
            "steps": [
                {
                    "id": "ask-anything",
                    "type": "reasoning",
                    "config": {"prompt_context": "What now?", "options": [], "timeout": "30m"},
                },
                _log("answer", "${{steps.ask-anything.choice}}", depends_on=["ask-anything"]),
            ],
            "timeout_includes_suspension": True,
            "on_timeout": "suspend",
        },
        None,
    ),
    "payment": (
        {
            "recovery": "suspend",
            "steps": [
                _act(
                    "charge",
                    "http.post",
                    {"url": "https://pay.example/charges", "body": {"amount": "${{inputs.amount}}"}},
                    on_interrupt={"verify": "paid-already", "done": "steps['paid-already'].body.found == true"},
                    retry={"max": 2, "backoff": "constant", "delay": "3s"},
                ),
                _act("paid-already", "http.get", {"url": "https://pay.example/charges/last"}),
                {"id": "receipt", "type": "wait", "depends_on": ["charge"], "config": {"signal": "receipt-arrived"}},
            ],
        },
        {"properties": {"amount": {"type": "number"}}},
    ),
    "nested": (
        {
            "steps": [
                {
                    "id": "regions",
                    "type": "loop",
                    "config": {
                        "over": ["eu", "us"],
                        "body": [
                            _act("probe", "http.get", {"url": "https://${{loop.item}}.example/"}),
                            {
                                "id": "alive",
                                "type": "condition",
                                "config": {
                                    "expression": "steps.probe.status_code < 500",
                                    "branches": {"false": [_log("alarm", "${{loop.item}} is down")]},
                                },
                            },
                        ],
                    },
                },
                _log("done", "${{steps['regions.iter_0.probe'].status_code}}", depends_on=["regions"]),
            ]
        },
        None,
    ),
    "diamond": (
        {
            "steps": [
                _act("seed", "crypto.uuid"),
                _log("left", "${{steps.seed.output.uuid}}", depends_on=["seed"]),
                _log("right", "${{steps.seed.output.uuid}}", depends_on=["seed"]),
                _act(
                    "compare",
                    "assert.equals",
                    {"expected": "${{steps.left.status}}", "actual": "${{steps.right.status}}"},
                    depends_on=["left", "right"],
                    on_error={"strategy": "fail_workflow"},
                ),
            ],
            "output": "${{steps.compare.output}}",
        },
        None,
    ),
    "report": (
        {
            "min_isolation": "rlimits",
            "steps": [
                _act("collect", "shell.exec", {"command": "df", "args": ["-h"]}, retry={"max": 1, "delay": "2s"}),
                _act(
                    "write-report",
                    "fs.write",
                    {"path": "${{inputs.out_path ?? 'report.txt'}}", "content": "${{steps.collect.output.stdout}}"},
                    depends_on=["collect"],
                    name="Write the report",
                    description="overwrites the last one",
                ),
                _act("event", "workflow.emit", {"event_type": "report", "payload": {}}, depends_on=["write-report"]),
            ],
        },
        {"properties": {"out_path": {"type": "string"}}},
    ),
    "listed": (
        {
            "steps": [
                {
                    "id": "both",
                    "type": "parallel",
                    "config": {
                        "branches": [
                            [_act("copy-a", "fs.copy", {"src": "a", "dst": "b"})],
                            [
                                _act("stat-c", "fs.stat", {"path": "c"}),
                                _log("size", "${{steps.stat-c.output.size}}", depends_on=["stat-c"]),
                            ],
                        ]
                    },
                }
            ]
        },
        None,
    ),
    "timed": (
        {
            "steps": [
                _act("begin", "workflow.log", {"message": "resting ${{inputs.rest}}", "level": "info"}),
                {"id": "pause", "type": "wait", "depends_on": ["begin"], "config": {"duration": "${{inputs.rest}}"}},
                _act("finish", "expr.eval", {"expression": "1 + 1"}, depends_on=["pause"], timeout="${{inputs.rest}}"),
            ]
        },
        {"properties": {"rest": {"type": "string", "default": "1s"}}},
    ),
    "triage": (
        {
            "steps": [
                _act("load", "http.get", {"url": "https://tickets.example/open"}),
                {
                    "id": "sort-out",
                    "type": "loop",
                    "depends_on": ["load"],
                    "config": {
                        "mode": "for_each",
                        "over": "steps.load.body",
                        "max_iter": 50,
                        "body": [
                            {
                                "id": "prioritise",
                                "type": "reasoning",
                                "config": {
                                    "prompt_context": "How urgent is ${{loop.item.title}}?",
                                    "options": [{"id": "now"}, {"id": "later"}],
                                    "fallback": "later",
                                },
                            },
                            _log("noted", "${{steps.prioritise.choice}}"),
                        ],
                    },
                },
            ]
        },
        None,
    ),
}  # fmt: skip
"""Name → (definition, input schema)."""
