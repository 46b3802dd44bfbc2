"""Words of other workflow languages for what is called otherwise here, without case and punctuation."""

from __future__ import annotations

KEYS: dict[str, dict[str, str]] = {
    "workflow": {
        "tasks": "steps", "nodes": "steps", "actions": "steps", "jobs": "steps", "stages": "steps",
        "variables": "inputs", "vars": "inputs", "parameters": "inputs", "params": "inputs",
        "outputs": "output", "result": "output", "returns": "output",
        "onsuccess": "on_complete", "oncompletion": "on_complete", "finally": "on_complete",
        "onfailure": "on_error", "catch": "on_error", "deadline": "timeout", "meta": "metadata",
    },
    "step": {
        "needs": "depends_on", "after": "depends_on", "requires": "depends_on", "dependencies": "depends_on",
        "depends": "depends_on", "if": "condition", "when": "condition", "guard": "condition",
        "uses": "action", "tool": "action", "call": "action", "run": "action", "with": "params",
        "args": "params", "arguments": "params", "parameters": "params", "input": "params", "inputs": "params",
        "onfailure": "on_error", "catch": "on_error", "retries": "retry", "retrypolicy": "retry",
        "kind": "type", "steptype": "type", "stepid": "id", "key": "id", "title": "name",
        "configuration": "config", "options": "config", "settings": "config",
    },
    "retry": {
        "maxattempts": "max", "attempts": "max", "maxretries": "max", "count": "max", "limit": "max",
        "times": "max", "strategy": "backoff", "policy": "backoff", "interval": "delay", "wait": "delay",
        "initialdelay": "delay", "initialinterval": "delay", "maxinterval": "max_delay", "cap": "max_delay",
    },
    "on_error": {
        "action": "strategy", "mode": "strategy", "policy": "strategy", "type": "strategy",
        "step": "fallback_step", "target": "fallback_step", "fallback": "fallback_step",
    },
    "on_interrupt": {"step": "verify", "probe": "verify", "check": "verify", "when": "done", "condition": "done"},
    "condition": {
        "condition": "expression", "if": "expression", "when": "expression", "test": "expression",
        "switch": "expression", "cases": "branches", "else": "default", "otherwise": "default",
    },
    "loop": {
        "items": "over", "foreach": "over", "list": "over", "in": "over", "collection": "over", "steps": "body",
        "do": "body", "while": "condition", "until": "condition", "type": "mode", "maxiterations": "max_iter",
        "limit": "max_iter", "concurrency": "max_concurrency", "parallelism": "max_concurrency",
    },
    "parallel": {
        "steps": "branches", "tasks": "branches", "cases": "branches", "lists": "branches", "strategy": "mode",
        "join": "mode",
        "concurrency": "max_concurrency", "parallelism": "max_concurrency",
    },
    "wait": {
        "for": "duration", "delay": "duration", "time": "duration", "sleep": "duration", "timeout": "duration",
        "seconds": "duration", "event": "signal", "name": "signal", "signalname": "signal",
    },
    "reasoning": {
        "prompt": "prompt_context", "question": "prompt_context", "context": "prompt_context",
        "message": "prompt_context", "instructions": "prompt_context", "choices": "options",
        "data": "data_inject", "inject": "data_inject", "inputs": "data_inject", "default": "fallback",
        "deadline": "timeout", "agent": "target_agent", "assignee": "target_agent",
    },
    "option": {"name": "id", "value": "id", "key": "id", "label": "description", "text": "description"},
}  # fmt: skip

VALUES: dict[str, dict[str, str]] = {
    "type": {
        "foreach": "loop", "for": "loop", "while": "loop", "until": "loop", "map": "loop", "repeat": "loop",
        "if": "condition", "switch": "condition", "branch": "condition", "conditional": "condition",
        "sleep": "wait", "delay": "wait", "timer": "wait", "signal": "wait", "task": "action", "call": "action",
        "step": "action", "fork": "parallel", "concurrent": "parallel", "race": "parallel", "decision": "reasoning",
        "approval": "reasoning", "human": "reasoning", "ask": "reasoning", "gate": "reasoning", "llm": "reasoning",
    },
    "on_timeout": {"abort": "cancel", "stop": "cancel", "failworkflow": "fail", "error": "fail", "pause": "suspend"},
    "backoff": {
        "fixed": "constant", "static": "constant", "exp": "exponential", "expo": "exponential", "off": "none",
    },
    "strategy": {
        "continue": "ignore", "skip": "ignore", "fail": "fail_workflow", "abort": "fail_workflow",
        "stop": "fail_workflow", "fallback": "fallback_step", "retries": "retry",
    },
    "mode": {
        "foreach": "for_each", "for": "for_each", "each": "for_each", "any": "race", "first": "race",
        "waitall": "all", "join": "all", "every": "all",
    },
    "on_interrupt": {"rerun": "retry", "repeat": "retry", "restart": "retry", "abort": "fail", "decide": "ask"},
    "recovery": {"continue": "resume", "pause": "suspend", "auto": "resume"},
    "min_isolation": {"bubblewrap": "bwrap", "sandbox": "bwrap", "limits": "rlimits", "rlimit": "rlimits"},
}  # fmt: skip
