"""What the reference pages say beside what the code says of itself: one sentence per setting and per key.

`reference` refuses to write a page when a name is missing here, or is here and nowhere else.
"""

from __future__ import annotations

INTRODUCTIONS: dict[str, str] = {
    "Errors": "Every error carries one of these codes. The code alone says whether a failed step is tried again "
    "when it has a `retry` policy; a message says where the trouble is, and `next` what to do.",
    "Settings": "The daemon takes a setting from the command line, else from the environment, else from "
    "`settings.json` in its data directory, else the default. An unknown key or a wrong value is refused "
    "with the place where it stands. A program that embeds the runtime gives an `opcode_runtime.Settings` "
    "instead.",
    "Definition": "A definition is a JSON object. It is checked whole before anything is stored: unknown keys, wrong "
    "values, parameters that do not fit their action, references that lead nowhere and circles are all "
    "reported at once.",
    "Actions": "An action is what a step does. A `pure` one has no effect outside and runs inside its workflow's "
    "turn; a `read_only` one looks and changes nothing; any other is `effectful`. Parameters that an "
    "action does not know are warnings when a workflow is defined, and are left out when it runs.",
    "Events": "The journal holds these and nothing else. Every event also has `type` and `at` (UTC seconds); its "
    "record adds stream, sequence number, position and epoch. `key` is (scope, idempotency key, digest of "
    "the arguments).",
    "State machines": "Every change of status is in one of two tables of `core/fsm.py`; an event that is not in them "
    "changes no status, and a change that is not in them is refused as a defect of the runtime.",
    "MCP tools": "The daemon offers these over SSE (`/sse`) and Streamable HTTP (`/mcp`). Unknown arguments are "
    "refused; an object may also be given as JSON text. A refusal has `isError` true and an object with "
    "`code`, `message`, `problems`, `retryable` and `next`; a workflow that ends failed is not a refusal.",
    "Command line": "`opcode` alone is `opcode serve`. The client commands find the daemon by the data directory, and "
    "print JSON with `--json`.",
}

SETTINGS: dict[str, str] = {
    "listen_addr": "Address and port. `localhost` or no host means both loopback addresses; port 0 takes a free one.",
    "base_url": "URL under which clients reach the daemon, when it is not its address (behind a proxy).",
    "db_path": "Folder of the journal; `journal` in the data directory when left out.",
    "log_level": "How much is logged to standard error.",
    "log_format": "Text for people or JSON for machines; `auto` decides by whether standard error is a terminal.",
    "pool_size": "How many steps with outside effects run at once, over all workflows.",
    "require_token": "Whether callers must show the token. False is refused on anything but loopback.",
    "drain_s": "Seconds that running steps are given when the daemon is told to stop.",
    "on_interrupt": "What an interruption means for steps that do not say so themselves; wins over their action.",
    "answers": "Doubt settled in advance: `template/step`, an action, or `*`, to `retry`, `skip` or `fail`.",
    "read_only_paths": "Roots below which actions may read. As soon as one root is set, all else is denied.",
    "writable_paths": "Roots below which actions may read and write.",
    "deny_paths": "Paths that no action may touch, whatever the roots say.",
    "allow_hosts": "Names, addresses and networks that `http.*` may reach; when set, it is the whole list.",
    "allow_private": "Whether `http.*` may reach loopback and private addresses without being listed.",
    "journal_bytes_max": "Largest size of the journal's data file. The file is only as large as what is in it.",
    "limits": "The bounds of the second table, as an object.",
}

LIMITS: dict[str, str] = {
    "steps_max": "Steps of a definition.",
    "definition_bytes_max": "Bytes of a definition as JSON.",
    "recoveries_max": "Workflows that read their journal at the same time.",
    "body_bytes_max": "Bytes of one HTTP request to the daemon.",
    "header_bytes_max": "Bytes of the head of such a request.",
    "json_depth_max": "Nesting of the JSON in such a request.",
    "sessions_max": "MCP sessions over SSE that are open at the same time.",
    "connections_max": "Connections to the daemon that are open at the same time.",
    "http_body_bytes_max": "Bytes that `http.*` takes of a response.",
    "output_bytes_max": "Bytes kept of each output stream of a command.",
    "file_bytes_max": "Bytes that `fs.read` takes of a file.",
}

KEYS: dict[str, dict[str, str]] = {
    "workflow": {
        "steps": "The steps, in any order.",
        "inputs": "Defaults of the inputs, by name; may hold expressions.",
        "context": "Values that every expression sees as `context`; may hold expressions over the inputs.",
        "timeout": "How long the workflow may be active. Suspended and down time is free.",
        "on_timeout": "What the end of that time does: `fail` (as when left out) or `cancel`.",
        "metadata": "Anything; kept and shown, never read.",
        "output": "What the workflow returns. Left out: the output of its last step, or an object of all last ones.",
    },
    "step": {
        "id": "Unique name, 1 to 128 characters, without dots, slashes, brackets and quotes.",
        "type": "`action`, also when left out.",
        "action": "Name of an action, see [actions](actions.md).",
        "params": "Parameters of the action; any string in them may hold `${{ }}`.",
        "depends_on": "Ids of the steps that must be done first. Without it a step starts at once.",
        "condition": "An expression; when it is false the step is skipped and its dependents go on.",
        "retry": "Further attempts after a failure that another attempt may mend.",
        "timeout": "Deadline of one attempt.",
        "on_error": "What happens when no further attempt follows.",
        "on_interrupt": "What happens when the daemon ended during an attempt, see below.",
        "idempotent": "True: doing it twice does no harm, so an interruption means `retry`.",
        "name": "For readers.",
        "description": "For readers.",
    },
    "retry": {
        "max": "Further attempts after the first, 0 when left out.",
        "backoff": "How the delay grows: `none` (no delay, as when left out), `constant`, `linear` or `exponential`.",
        "delay": "The delay that `backoff` starts from.",
        "max_delay": "The longest delay.",
        "jitter": "Part of the delay, 0 to 1, by which it may be shortened, so that retries spread.",
    },
    "on_error": {
        "strategy": "`ignore`: the step counts as completed with output null. `fail_workflow`: what runs is withdrawn "
        "and the workflow fails at once. `fallback_step`: another step stands in. `retry`: three further attempts, "
        "unless the step has a `retry` of its own.",
        "fallback_step": "Id of the step that stands in.",
    },
}

KINDS: dict[str, str] = {
    "any": "any JSON",
    "string": "string",
    "object": "object",
    "array": "list",
    "boolean": "true or false",
    "duration": "duration such as `30s`",
    "strings": "list of strings",
    "count": "whole number, 0 or more",
    "fraction": "number from 0 to 1",
}

DEFINITION_RULES = """\
## Expressions

`${{ … }}` stands in any string of `params`, `inputs`, `context` and `output`. A string that is nothing but one
`${{ … }}` becomes the value itself with its type; inside a longer string the value becomes text. `condition` is an
expression without the braces. An expression is a path (`steps.count.lines[0]`), a path with a default
(`inputs.limit ?? 10`), or CEL (`inputs.n > 5 && steps.a.output != null`). What is filled in is never evaluated again.

| Name | What it is |
|---|---|
| `inputs.<name>` | an input of this workflow |
| `steps.<id>` | the output of a step; `.output`, `.status`, `.error`, `.reason` and `.attempts` are the step's own |
| `context.<name>` | a value of `context` |
| `workflow.<name>` | `run_id`, `name`, `template_name`, `template_version`, `agent_id`, `started_at` |

## When a step was interrupted

A step that was running when the daemon ended is in doubt: nobody knows how far it came. What then happens is decided
by the first of these that says something:

1. `on_interrupt` of the step: `retry` (a new attempt under the same idempotency key), `ask` (a decision with the
   options `retry`, `skip`, `fail`, `done`), or `fail` (as any failure; `on_error` applies).
2. An action that is pure or only reads: `retry`.
3. The setting `on_interrupt`, else what the [action](actions.md) says of itself.
4. `retry` when the step has a `retry` policy or is `idempotent`.
5. `ask`. The setting `answers` may hold the answer in advance.

An interruption never counts against `retry.max`. After ten in a row even `retry` asks.
"""

EXAMPLE = """\
```json
{
  "inputs": {"page": "https://example.org/"},
  "steps": [
    {
      "id": "fetch",
      "action": "http.get",
      "params": {"url": "${{inputs.page}}", "fail_on_error_status": true},
      "timeout": "20s",
      "retry": {"max": 3, "backoff": "exponential", "delay": "1s", "max_delay": "30s", "jitter": 0.5},
      "on_error": {"strategy": "fallback_step", "fallback_step": "apologise"}
    },
    {
      "id": "apologise",
      "action": "workflow.log",
      "params": {"level": "warn", "message": "${{inputs.page}} could not be fetched"}
    },
    {
      "id": "keep",
      "action": "crypto.hash",
      "depends_on": ["fetch"],
      "condition": "steps.fetch.status == 'completed'",
      "params": {"data": "${{steps.fetch.body}}"}
    }
  ],
  "output": "${{steps.keep.hash ?? 'nothing'}}"
}
```"""
