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
    "changes no status, and a change that is not in them is refused as a defect of the runtime. "
    "[The language](workflow.md) tells the same as a story.",
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
    "vault_key_file": "File (mode 0600) with the passphrase of the vault, when no variable gives it.",
    "recovery": "What active workflows do after a crash, when their definition does not say: `resume` by themselves, "
    "or `suspend` until somebody sends the signal `resume`.",
    "on_interrupt": "What an interruption means for steps that do not say so themselves; wins over their action.",
    "answers": "Answers in advance, by `template/step`, an action, or `*`; the most specific counts. For steps in "
    "doubt: `retry`, `skip` or `fail`. For a reasoning step, by `template/step` only: the id of an option, or a text.",
    "read_only_paths": "Roots below which actions may read. As soon as one root is set, all else is denied.",
    "writable_paths": "Roots below which actions may read and write.",
    "deny_paths": "Paths that no action may touch, whatever the roots say.",
    "allow_hosts": "Names, addresses and networks that `http.*` may reach; when set, it is the whole list.",
    "allow_private": "Whether `http.*` may reach loopback and private addresses without being listed.",
    "http_proxy": "URL of a proxy that all of `http.*` goes through. None is taken from the environment.",
    "isolation": "What commands of `shell.exec` are fenced with; `auto` is the strongest that the machine gives.",
    "min_isolation": "The least that must fence a command of `shell.exec`, or it does not run: `rlimits`, `landlock`, "
    "`bwrap`.",
    "cgroup": "Whether a control group must be there for commands (`required`) or is used where there is one (`auto`).",
    "shell_network": "False takes the network away from commands, as a whole.",
    "journal_bytes_max": "Largest size of the journal's data file. The file is only as large as what is in it.",
    "min_free_bytes": "New workflows are refused while the journal's file system has less space than this.",
    "retention_days": "Ended workflows leave the journal after so many days; with `null` they stay for ever. One that "
    "was started with an idempotency key stays for the week in which the key counts.",
    "retention_count": "How many ended workflows are kept, the newest; `null` for any number.",
    "limits": "The bounds of the second table, as an object.",
}

LIMITS: dict[str, str] = {
    "steps_max": "Steps of a definition.",
    "definition_bytes_max": "Bytes of a definition as JSON.",
    "nesting_max": "How deep lists of steps may nest.",
    "iterations_max": "Iterations of one loop.",
    "executions_max": "Attempts in one workflow, those of flow steps and waits included.",
    "reopenings_max": "How often a failed workflow may be reopened by `retry` and `skip`.",
    "inbox_max": "Signals that one workflow keeps until a wait takes them.",
    "depth_max": "Sub-workflows of sub-workflows: how deep.",
    "breaker_failures_max": "Failures in a row that open the circuit breaker of an action and its target; 0 turns "
    "breakers off.",
    "breaker_cooldown_s": "Seconds for which an open circuit breaker refuses.",
    "recoveries_max": "Workflows that read their journal at the same time.",
    "body_bytes_max": "Bytes of one HTTP request to the daemon.",
    "header_bytes_max": "Bytes of the head of such a request.",
    "json_depth_max": "Nesting of the JSON in such a request.",
    "sessions_max": "MCP sessions over SSE that are open at the same time.",
    "connections_max": "Connections to the daemon that are open at the same time.",
    "http_body_bytes_max": "Bytes that `http.*` takes of a response.",
    "output_bytes_max": "Bytes kept of each output stream of a command.",
    "file_bytes_max": "Bytes that `fs.read` takes of a file at once, and that `fs.write` and `fs.append` take.",
    "list_entries_max": "Entries that `fs.list` gives.",
    "tree_entries_max": "Entries that one recursive `fs.*` looks at.",
    "copy_bytes_max": "Bytes that one `fs.copy`, or an `fs.move` to another file system, copies.",
    "file_timeout_s": "Seconds that an `fs.*` may take when its step has no timeout of its own.",
    "http_resolve_s_max": "Seconds for the addresses of a name.",
    "http_connect_s_max": "Seconds for a connection, TLS included.",
    "http_idle_s_max": "Seconds between two signs of life of a server.",
    "http_redirects_max": "Redirects that are followed, however many more a step allows.",
    "http_ratio_max": "By how much a response may grow when it is decompressed, from its first MiB on.",
    "http_request_bytes_max": "Bytes of a body that is sent.",
    "http_file_bytes_max": "Bytes of a response that is saved to a file.",
    "http_retry_after_s_max": "Seconds waited before another attempt, however much longer a server asks for.",
    "shell_memory_bytes_max": "Bytes of memory of a command's whole tree in a control group, else of each process; "
    "`null` for the machine's.",
    "shell_processes_max": "Processes and threads of a command's tree.",
    "shell_cpu_percent_max": "CPU of a command, 100 being one core; needs a control group. `null` for no bound.",
    "shell_written_bytes_max": "Bytes of any one file that a command writes.",
    "shell_open_files_max": "Descriptors of each process of a command.",
}
