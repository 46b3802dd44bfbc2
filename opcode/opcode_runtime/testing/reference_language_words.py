"""What the pages about the language say beside its tables: a sentence for every key and every change of status."""

from __future__ import annotations

TITLES: dict[str, str] = {
    "workflow": "The definition",
    "step": "A step",
    "retry": "`retry`",
    "on_error": "`on_error` of a step",
    "on_interrupt": "`on_interrupt` as an object",
    "condition": "`config` of a condition",
    "loop": "`config` of a loop",
    "parallel": "`config` of a parallel",
    "wait": "`config` of a wait",
    "reasoning": "`config` of a reasoning step",
    "option": "An option",
}

KEYS: dict[str, dict[str, str]] = {
    "workflow": {
        "steps": "The steps, in any order.",
        "inputs": "Defaults of the inputs, by name; may hold expressions.",
        "context": "Values that every expression sees as `context`; may hold expressions over the inputs.",
        "timeout": "How long the workflow may be active. Suspended and down time is free. May hold expressions over "
        "the inputs.",
        "on_timeout": "What the end of that time does: `fail` (as when left out), `suspend` or `cancel`.",
        "on_complete": "A step that runs when all others are done, before the workflow counts as completed.",
        "on_error": "A step that runs when the workflow fails, before it counts as failed; it sees `workflow.error`.",
        "metadata": "Anything; kept and shown, never read.",
        "output": "What the workflow returns. Left out: the output of its last step, or an object of all last ones.",
        "recovery": "After a crash: `resume` goes on by itself, `suspend` waits for the signal `resume`. Left out: as "
        "the setting `recovery` says.",
        "min_isolation": "The least that must fence the commands of this definition, or they do not run.",
        "timeout_includes_suspension": "True: `timeout` also counts while suspended.",
    },
    "step": {
        "id": "Unique name in its list, 1 to 128 characters, without dots, slashes, brackets and quotes.",
        "type": "What kind of step it is; `action` when left out.",
        "action": "Name of an action, see [actions](actions.md).",
        "params": "Parameters of the action; any string in them may hold `${{ }}`.",
        "depends_on": "Ids of the steps of the same list that must be done first. At the top level a step without it "
        "starts at once; a nested list in which no step has it runs in order.",
        "condition": "An expression; when it is false the step is skipped and its dependents go on.",
        "retry": "Further attempts after a failure that another attempt may mend.",
        "timeout": "Deadline of one attempt; may be a reference. On a flow step it bounds all that is inside, on a "
        "wait the wait, on a reasoning step the decision.",
        "on_error": "What happens when no further attempt follows.",
        "config": "What its type asks for, see below; an action has none.",
        "on_interrupt": "What happens when the daemon ended during an attempt, see below.",
        "idempotent": "True: doing it twice does no harm, so an interruption means `retry`.",
        "name": "For readers.",
        "description": "For readers.",
    },
    "retry": {
        "max": "Further attempts after the first, 0 when left out.",
        "backoff": "How the delay grows: `none` (no delay, as when left out), `constant`, `linear` or `exponential`.",
        "delay": "The delay that `backoff` starts from; may be a reference.",
        "max_delay": "The longest delay; may be a reference.",
        "jitter": "Part of the delay, 0 to 1, by which it may be shortened, so that retries spread.",
    },
    "on_error": {
        "strategy": "`ignore`: the step counts as completed with output null. `fail_workflow`: what runs is withdrawn "
        "and the workflow fails at once. `fallback_step`: another step stands in. `retry`: three further attempts, "
        "unless the step has a `retry` of its own.",
        "fallback_step": "Id of the step that stands in: one of the same list or of the top level.",
    },
    "on_interrupt": {
        "verify": "Id of a step that finds out whether it was done; it never runs by itself.",
        "done": "Expression that says so; `steps.<id>.output.done == true` when left out.",
    },
    "condition": {
        "expression": "Its value, as text, is the key of the branch that runs.",
        "branches": "Lists of steps by key; a list may be empty.",
        "default": "The steps that run when no key fits.",
    },
    "loop": {
        "mode": "`for_each` when left out; `while` tests before, `until` after each iteration.",
        "over": "What `for_each` goes over: a list, an expression, or a jq filter.",
        "condition": "What `while` and `until` test; sees `iter.index`, `iter.last` and the outputs of the body.",
        "body": "The steps of one iteration.",
        "max_iter": "The most iterations; 0 or left out: no bound but `limits.iterations_max`, beyond which the loop "
        "fails.",
        "max_concurrency": "Iterations of `for_each` at a time, 1 when left out.",
    },
    "parallel": {
        "branches": "Lists of steps, one for each branch.",
        "mode": "`all` when left out; `race` ends with the first branch that succeeds.",
        "max_concurrency": "Branches at a time, all when left out.",
    },
    "wait": {
        "duration": "How long; may be a reference. Wins over `signal`.",
        "signal": "The name of the signal that ends the wait.",
    },
    "reasoning": {
        "prompt_context": "What the agent is asked.",
        "data_inject": "What it is given, by name: references, expressions, or texts as they are.",
        "options": "What it may choose from; empty or left out: anything.",
        "timeout": "How long it has.",
        "fallback": "The option that is taken when nobody answers in time.",
        "target_agent": "The only agent that may answer.",
    },
    "option": {"id": "The choice.", "description": "What it means."},
}

OURS: dict[str, frozenset[str]] = {
    "workflow": frozenset({"output", "recovery", "min_isolation", "timeout_includes_suspension"}),
    "step": frozenset({"on_interrupt", "idempotent", "name", "description"}),
    "retry": frozenset({"jitter"}),
    "on_interrupt": frozenset({"verify", "done"}),
    "loop": frozenset({"max_concurrency"}),
    "parallel": frozenset({"max_concurrency"}),
}
"""Keys that the Go original does not have."""

OURS_RULE = """\
The keys above that are marked with `+` are of this runtime alone: the Go original, whose definitions run here as they
are, would drop them without a word. These are all of them:"""

KINDS: dict[str, str] = {
    "any": "any JSON",
    "string": "string",
    "object": "object",
    "array": "list",
    "boolean": "true or false",
    "duration": "duration such as `30s`",
    "strings": "list of strings",
    "count": "whole number, 0 or more",
    "positive": "whole number, 1 or more",
    "fraction": "number from 0 to 1",
    "text_or_list": "expression or list",
    "text_or_object": "string or object",
}

WHEN_WORKFLOW: dict[str, str] = {
    "pending workflow_created": "A run was accepted: the first event of every workflow.",
    "pending workflow_started": "Right behind it; once in a life.",
    "pending workflow_cancelled": "Cancelled before it started.",
    "active workflow_suspended": "Nothing can go on by itself (`decision`, `child`), the signal `pause` came, "
    "`timeout` ran out under `on_timeout: suspend`, or a crash cut it under `recovery: suspend`.",
    "suspended workflow_suspended": "The signal `pause` came while it waited for a decision or a sub-workflow.",
    "suspended workflow_resumed": "A decision was settled, a sub-workflow goes on, or the workflow has to be wound up "
    "(cancelled, out of time); after `pause`, `timeout` and `recovery` otherwise only the signal `resume`.",
    "active workflow_interrupted": "The daemon was away while it was active.",
    "active workflow_resumed": "Behind `workflow_interrupted`, with the reason `restart`.",
    "active workflow_timed_out": "Its own `timeout` ran out; `on_timeout` says what follows.",
    "suspended workflow_timed_out": "The same, under `timeout_includes_suspension`.",
    "active workflow_completed": "Every step has ended, the output is known, and the hook `on_complete` has run.",
    "active workflow_failed": "A step failed without a handler, the output could not be made, or time ran out; the "
    "hook `on_error` has run.",
    "active workflow_cancelled": "The signal `cancel`, or `on_timeout: cancel`. No hook runs.",
    "suspended workflow_cancelled": "The signal `cancel`.",
    "failed workflow_reopened": "The signal `retry` or `skip`.",
}

WHEN_STEP: dict[str, str] = {
    "pending step_started": "Its dependencies are done, its guard said yes, its parameters are filled in, and it has a "
    "slot if it needs one.",
    "pending step_failed": "Its guard or its parameters could not be evaluated.",
    "pending step_completed": "The same, under `on_error: ignore`.",
    "running step_completed": "The attempt succeeded; a flow step: all that was to run inside has ended well.",
    "running step_failed": "The attempt failed and no further one follows.",
    "running step_retrying": "The attempt failed or was cut by a crash, and another one follows.",
    "running step_suspended": "It asks: a reasoning step, or a step in doubt.",
    "retrying step_started": "The delay is over.",
    "suspended step_retrying": "The doubt was settled with `retry`.",
    "suspended step_completed": "The decision was made, by an agent or by the fallback; or the doubt was settled "
    "with `done`.",
    "suspended step_failed": "Nobody answered in time and there is no fallback; or the doubt was settled with `fail`.",
    "failed step_skipped": "The signal `skip`.",
    "failed step_reset": "The signal `retry`.",
    "skipped step_reset": "What it was skipped for is taken back by the signal `retry` or `skip`.",
    "retrying step_failed": "The next attempt was refused by a limit.",
    "retrying step_completed": "The same, under `on_error: ignore`.",
    "pending step_skipped": "Guard false (`guard`), a dependency failed (`dependency`), never called for "
    "(`unused_fallback`), or the rest of its list, race or workflow ended.",
    "running step_skipped": "A lost race (`race_lost`), the signals `cancel` and `skip`, or the end of its list or "
    "workflow.",
    "retrying step_skipped": "As a running one.",
    "suspended step_skipped": "As a running one; the doubt was settled with `skip`, or the decision was cancelled.",
}

DEFINITION_RULES = """\
## Expressions

`${{ … }}` stands in any string of `params`, `inputs`, `context`, `output`, `data_inject`, `prompt_context`, in the
`description` of an option, the `signal` of a wait, `target_agent`, and durations. A string that is nothing but one
`${{ … }}` becomes the value itself with its type; inside a longer string the value becomes text. A `condition`, an
`expression` and a value of `data_inject` are expressions without the braces. An expression is a path
(`steps.count.lines[0]`), a path with a default (`inputs.limit ?? 10`), or CEL
(`inputs.n > 5 && steps.a.output != null`); `over` may also be jq. What is filled in is never evaluated again.
[Expressions](expressions.md) has all of it.

| Name | What it is |
|---|---|
| `inputs.<name>` | an input of this workflow |
| `steps.<id>` | the output of a step; its own are `.output`, `.status`, `.error`, `.reason`, `.attempts` |
| `context.<name>` | a value of `context` |
| `workflow.<name>` | `run_id`, `name`, `template_name`, `template_version`, `agent_id`, `started_at`, `error` |
| `loop.<name>` | inside an iteration: `item`, `index`, and `parent` for the loop around it; `iter` is the same |

## When a step was interrupted

A step that was running when the daemon ended is in doubt: nobody knows how far it came. What then happens is decided
by the first of these that says something:

1. `on_interrupt` of the step: `retry` (a new attempt under the same idempotency key), `ask` (a decision with the
   options `retry`, `skip`, `fail`, `done`), `fail` (as any failure; `on_error` applies), or an object: the step
   `verify` runs, and `done` says whether the work was done. If so, the step completes with the output of the probe
   (with its member `output`, if it has one); if not, it is tried again; when the probe fails, it is asked about.
2. An action that is pure or only reads: `retry`.
3. The setting `on_interrupt`, else what the [action](actions.md) says of itself.
4. `retry` when the step has a `retry` policy or is `idempotent`.
5. `ask`. The setting `answers` may hold the answer in advance.

An interruption never counts against `retry.max`. After ten in a row even `retry` asks. Flow steps, waits, reasoning
steps and sub-workflows are never in doubt: they go on with the attempt they had.
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
      "type": "condition",
      "depends_on": ["fetch"],
      "config": {
        "expression": "steps.fetch.status",
        "branches": {
          "completed": [
            {"id": "hash", "action": "crypto.hash", "params": {"data": "${{steps.fetch.body}}"}}
          ]
        }
      }
    }
  ],
  "output": "${{steps.keep.output.output.hash ?? 'nothing'}}"
}
```

[The language](workflow.md) explains all of it and shows it at work."""
