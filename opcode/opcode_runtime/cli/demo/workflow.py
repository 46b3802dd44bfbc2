"""The demo's workflow: walk a folder, hash and count its files in parallel branches, call a service, write a report.

Every step that a crash could leave in doubt says itself what is to be done then: `on_interrupt: retry`.
"""

from __future__ import annotations

import sys
from typing import Any

from opcode_runtime.cli.demo import scripts
from opcode_runtime.cli.demo.stage import BYTES_MAX, FILES_MAX, Stage

NAME = "folder-survey"
SHARDS = 4
HELD = ("hash_2", "hash_3")
"""The steps that are at work when the daemon is killed."""

EARLY = (
    "policy",
    "survey",
    "ticket",
    "tag",
    "opened",
    "hash_0",
    "hash_1",
    "lines",
    "suffixes",
)
"""The steps that are completed when the daemon is killed."""

SHELL = ("survey", "hash_0", "hash_1", "hash_2", "hash_3", "lines", "suffixes", "merge")
"""The steps that run a child process."""

HASHES = tuple(f"hash_{shard}" for shard in range(SHARDS))

INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "folder": {"type": "string"},
        "work": {"type": "string"},
        "service": {"type": "string"},
    },
    "required": ["folder", "work", "service"],
    "additionalProperties": False,
}

Step = dict[str, Any]

_REPORT = """\
# What lies in ${{inputs.folder}}

- files: ${{steps.survey.output.stdout.files}} (${{steps.survey.output.stdout.bytes}} bytes)
- text files: ${{steps.lines.output.stdout.text_files}}, lines: ${{steps.lines.output.stdout.lines}}
- kinds: ${{steps.suffixes.output.stdout.top}}
- fingerprint: ${{steps.fingerprint.output.hash}}
- ticket: ${{steps.ticket.output.body.ticket}}, tag: ${{steps.tag.output.uuid}}
"""


def definition() -> dict[str, Any]:
    """The definition, as an agent would send it."""
    return {
        "steps": [*_gathering(), *_branches(), *_conclusions(), *_deliveries()],
        "output": {
            "files": "${{steps.survey.output.stdout.files}}",
            "bytes": "${{steps.survey.output.stdout.bytes}}",
            "lines": "${{steps.lines.output.stdout.lines}}",
            "fingerprint": "${{steps.fingerprint.output.hash}}",
            "ticket": "${{steps.ticket.output.body.ticket}}",
            "tag": "${{steps.tag.output.uuid}}",
            "report": "${{steps.read_back.output.content}}",
        },
        "timeout": "2m",
    }


def params(stage: Stage, service_url: str) -> dict[str, str]:
    """The inputs of the demo's one workflow."""
    return {"folder": str(stage.folder), "work": str(stage.work), "service": service_url}


def _gathering() -> list[Step]:
    limits = [str(FILES_MAX), str(BYTES_MAX)]
    return [
        _step("policy", "http.get", {"url": "${{inputs.service}}/policy"}),
        _shell("survey", scripts.SURVEY, ["${{inputs.folder}}", *limits]),
        _step(
            "ticket",
            "http.post",
            {
                "url": "${{inputs.service}}/surveys",
                "body": {"files": "${{steps.survey.output.stdout.files}}"},
                "fail_on_error_status": True,
            },
            ["survey"],
        ),
        _step("tag", "crypto.uuid", {}, ["survey"]),
        _append("opened", "opened with ${{steps.survey.output.stdout.files}} files", ["survey"]),
        _step(
            "cut_short",
            "workflow.log",
            {"message": "more files than the demo reads", "level": "warn"},
            ["survey"],
            condition="steps.survey.output.stdout.truncated",
        ),
    ]


def _branches() -> list[Step]:
    hashing = [
        _shell(
            name,
            scripts.HASH,
            ["${{inputs.folder}}", str(shard), str(SHARDS), "held" if name in HELD else "free"],
            ["survey"],
        )
        for shard, name in enumerate(HASHES)
    ]
    return [
        *hashing,
        _shell("lines", scripts.LINES, ["${{inputs.folder}}"], ["survey"]),
        _shell("suffixes", scripts.SUFFIXES, [], ["survey"]),
    ]


def _conclusions() -> list[Step]:
    answers = ", ".join(f"${{{{steps.{name}.output.stdout}}}}" for name in HASHES)
    digests = "\n".join(f"${{{{steps.{name}.output.stdout.digest}}}}" for name in HASHES)
    merge = _shell("merge", scripts.MERGE, [], list(HASHES))
    merge["params"]["stdin"] = f"[{answers}]"
    return [
        merge,
        _step(
            "whole",
            "assert.equals",
            {
                "expected": "${{steps.survey.output.stdout.files}}",
                "actual": "${{steps.merge.output.stdout.files}}",
                "message": "the branches did not hash every file once",
            },
            ["merge"],
        ),
        _step(
            "fingerprint",
            "crypto.hash",
            {"data": digests, "algorithm": "${{steps.policy.output.body.algorithm}}"},
            [*HASHES, "policy"],
        ),
    ]


def _deliveries() -> list[Step]:
    report = {"path": "${{inputs.work}}/report.md", "content": _REPORT}
    needed = ["whole", "fingerprint", "lines", "suffixes", "ticket", "tag"]
    return [
        _step("report", "fs.write", report, needed),
        _append("closed", "closed with ${{steps.fingerprint.output.hash}}", ["report", "opened"]),
        _step("read_back", "fs.read", {"path": "${{inputs.work}}/report.md"}, ["report"]),
        _step(
            "shards",
            "fs.list",
            {"path": "${{inputs.work}}", "pattern": "shard-*.json"},
            ["merge"],
        ),
        _step(
            "publish",
            "http.post",
            {
                "url": "${{inputs.service}}/reports",
                "body": {
                    "ticket": "${{steps.ticket.output.body.ticket}}",
                    "fingerprint": "${{steps.fingerprint.output.hash}}",
                },
                "fail_on_error_status": True,
            },
            ["read_back"],
        ),
    ]


def _step(
    name: str,
    action: str,
    given: dict[str, Any],
    depends_on: list[str] | None = None,
    *,
    condition: str | None = None,
) -> Step:
    step: Step = {"id": name, "action": action, "params": given, "on_interrupt": "retry"}
    if depends_on:
        step["depends_on"] = depends_on
    if condition:
        step["condition"] = condition
    return step


def _shell(name: str, script: str, args: list[str], depends_on: list[str] | None = None) -> Step:
    given = {
        "command": sys.executable,
        "args": ["-I", "-S", "-c", script, "${{inputs.work}}", *args],
        "timeout": "60s",
        "fail_on_nonzero": True,
    }
    return _step(name, "shell.exec", given, depends_on) | {"timeout": "60s"}


def _append(name: str, line: str, depends_on: list[str]) -> Step:
    given = {"path": "${{inputs.work}}/history.log", "content": f"{line}\n"}
    return _step(name, "fs.append", given, depends_on)
