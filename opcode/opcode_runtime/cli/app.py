"""The words of the command line, and the one place where an error becomes an exit code.

Rule 1: nothing slow is imported before a command needs it; `opcode version` and `--help` start nothing.
Rule 2: an unknown word, flag or value is an error with a suggestion, never a start of the daemon.
Rule 3: what a command answers goes to standard output, everything about it to standard error.
"""

from __future__ import annotations

import difflib
import os
import platform
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from opcode_runtime.cli import drill_word, journal_words, upkeep_words
from opcode_runtime.cli.exits import CommandError, Exit, usage_error
from opcode_runtime.cli.journal_place import refuse_flag
from opcode_runtime.cli.options import FLAG, LOCAL, THE_CLI, Caller, Daemon
from opcode_runtime.cli.template_words import template

_EPILOGUE = (
    "Exit codes: 0 done · 1 the workflow or a check failed, or the daemon could not start · 2 usage · "
    "3 no daemon · 4 a workflow waits for a decision."
)
_Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]

app = App(
    name="opcode",
    help="A durable workflow runtime for AI agents. Without a command: start the daemon.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    version_flags=[],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command(template)
journal_words.register(app)
upkeep_words.register(app)
drill_word.register(app)


@Parameter(name="*")
@dataclass(frozen=True)
class Overrides:
    """Settings that win over the environment and the settings file."""

    listen_addr: str | None = None
    "Address and port, such as 127.0.0.1:4100; port 0 takes a free one."
    base_url: str | None = None
    "URL under which clients reach the daemon, when it is not the address."
    db_path: str | None = None
    "Directory of the journal, when it is not in the data directory."
    log_level: Literal["debug", "info", "warn", "error"] | None = None
    "How much is logged to standard error."
    pool_size: int | None = None
    "How many steps with outside effects run at once."


_NO_OVERRIDES = Overrides()


@app.default
@app.command
def serve(
    *,
    data_dir: Path | None = None,
    overrides: Overrides = _NO_OVERRIDES,
    answers: Path | None = None,
    no_auth: Annotated[bool, FLAG] = False,
    json: _Json = False,
) -> int:
    """Start the daemon in the foreground; SIGTERM or Ctrl-C ends it and leaves every workflow resumable.

    Arguments:
        data_dir: Where settings, journal and token live (default: OPCODE_HOME, else ~/.opcode).
        answers: JSON file that answers in advance for steps in doubt after a crash.
        no_auth: Ask for no token; on a loopback address only.
        json: Print one JSON line when ready.
    """
    from opcode_runtime.cli.daemon import ServeOptions, run_daemon

    flags = asdict(overrides) | {"require_token": False if no_auth else None}
    return run_daemon(ServeOptions(data_dir=data_dir, flags=flags, answers=answers, json=json))


@app.command
def define(
    file: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    name: str | None = None,
    check: Annotated[bool, FLAG] = False,
    caller: Caller = THE_CLI,
    daemon: Daemon = LOCAL,
) -> int:
    """Store a workflow definition as the next version of its template.

    Arguments:
        file: JSON: a bare definition, or {name, description, input_schema, definition}. `-` is standard input.
        name: Name of the template; needed for a bare definition.
        check: Only report what is wrong with it; store nothing.
    """
    from opcode_runtime.cli import calls, render

    refuse_flag(file, "define")
    call = calls.define_call(file, name=name, check_only=check, **caller.as_arguments())
    answer = daemon.ask(call)
    (render.print_json if daemon.json else render.print_definition)(answer)
    return Exit.DONE


@app.command
def run(
    name: str,
    /,
    *,
    params: str = "{}",
    wait: str = "45s",
    version: str | None = None,
    cwd: Path | None = None,
    caller: Caller = THE_CLI,
    daemon: Daemon = LOCAL,
) -> int:
    """Run a workflow and wait for its end or for a decision.

    Arguments:
        name: Name of the template.
        params: Its inputs: a JSON object, @FILE, or @- for standard input.
        wait: How long to wait, such as 45s or 2m; 0 returns at once. The workflow goes on in any case.
        version: Such as v3; the latest when left out.
        cwd: Directory where relative paths and commands of the workflow start.
    """
    from opcode_runtime.cli import calls, render

    call = calls.run_call(
        name,
        params=params,
        wait=wait,
        version=version,
        cwd=None if cwd is None else str(cwd.absolute()),
        **caller.as_arguments(),
    )
    answer = daemon.ask(call)
    (render.print_json if daemon.json else render.print_workflow)(answer)
    return calls.exit_of(answer)


@app.command
def status(workflow_id: str, /, *, daemon: Daemon = LOCAL) -> int:
    """Show a workflow: its steps, output, error, open decisions and newest events.

    Arguments:
        workflow_id: The id that `opcode run` answered with.
    """
    from opcode_runtime.cli import calls, render

    answer = daemon.ask(calls.Call("opcode.status", {"workflow_id": workflow_id}))
    if daemon.json:
        render.print_json(answer)
    else:
        render.print_workflow(answer, events=True)
    return calls.exit_of(answer)


@app.command
def query(
    resource: Literal["workflows", "events", "templates", "decisions", "actions", "agents"],
    /,
    *,
    filters: Annotated[
        tuple[str, ...], Parameter(name="--filter", negative="", consume_multiple=True)
    ] = (),
    daemon: Daemon = LOCAL,
) -> int:
    """List workflows, events, templates, decisions, actions or agents.

    Arguments:
        resource: What to list.
        filters: key=value, such as status=active or limit=20; may be given several times.
    """
    from opcode_runtime.cli import calls, render

    answer = daemon.ask(calls.query_call(resource, filters))
    if daemon.json:
        render.print_json(answer)
    else:
        render.print_rows(resource, answer)
    return Exit.DONE


@app.command(name="signal")
def signal_(
    workflow_id: str,
    signal_type: str,
    /,
    *,
    step: str | None = None,
    choice: str | None = None,
    payload: str = "{}",
    reasoning: str | None = None,
    caller: Caller = THE_CLI,
    daemon: Daemon = LOCAL,
) -> int:
    """Tell a workflow something: answer its decision, give it data, steer it, or cancel it.

    Arguments:
        workflow_id: The workflow to tell.
        signal_type: decision, data, cancel, pause, resume, retry, skip, or the name of the signal of a wait step.
        step: The step that is meant.
        choice: The chosen option of a decision.
        payload: JSON object, @FILE, or @- for standard input.
        reasoning: Why; kept with the decision.
    """
    from opcode_runtime.cli import calls, render

    call = calls.signal_call(
        workflow_id,
        signal_type,
        payload=payload,
        choice=choice,
        step_id=step,
        reasoning=reasoning,
        **caller.as_arguments(),
    )
    answer = daemon.ask(call)
    if daemon.json:
        render.print_json(answer)
    else:
        render.print_line(
            f"{signal_type} delivered; the workflow is {answer.get('status', 'told')}."
        )
    return Exit.DONE


@app.command
def version(*, json: _Json = False) -> int:
    """Print the version."""
    number = metadata.version("opcode-runtime")
    python = platform.python_version()
    if json:
        sys.stdout.write(f'{{"version": "{number}", "python": "{python}"}}\n')
    else:
        sys.stdout.write(f"opcode {number} (Python {python})\n")
    return Exit.DONE


@app.command
def demo(
    *,
    folder: Path | None = None,
    keep: Annotated[bool, FLAG] = False,
    json: _Json = False,
) -> int:
    """Show a workflow survive the death of its daemon: a real daemon, a real agent, a real kill.

    Arguments:
        folder: The folder whose files are counted and hashed (default: the current one); it is only read.
        keep: Leave the temporary directory behind.
        json: Print the account as JSON.
    """
    from opcode_runtime.cli.demo import run_demo

    return run_demo(folder or Path.cwd(), keep=keep, as_json=json)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the console entry point.

    Arguments:
        argv: the words after the program's name; those of the process when None.

    Returns:
        the exit code, as documented in `exits`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except CommandError as error:
        return _report(error, as_json="--json" in words)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(words: list[str]) -> int:
    _refuse_unknown_command(words)
    try:
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _in_words(error, words) from None
    return int(result or 0)


def _refuse_unknown_command(words: list[str]) -> None:
    """A first word that is no command would else be taken for an argument of the default command."""
    if not words or words[0].startswith("-"):
        return
    known = [name for name in app if not name.startswith("-")]
    if words[0] not in known:
        near = difflib.get_close_matches(words[0], known, n=1, cutoff=0.5)
        hint = (
            f"Did you mean `opcode {near[0]}`?"
            if near
            else f"Commands: {', '.join(sorted(known))}."
        )
        raise usage_error(f"There is no command {words[0]!r}.", next=hint)


def _in_words(error: CycloptsError, words: list[str]) -> CommandError:
    command = f"opcode {words[0]}" if words and not words[0].startswith("-") else "opcode"
    if isinstance(error, UnusedCliTokensError):
        message = (
            f"`{command}` does not know what to do with {' '.join(error.unused_tokens or [])!r}."
        )
    else:
        message = str(error)
    return usage_error(message, next=f"`{command} --help` lists what it takes.")


def _report(error: CommandError, *, as_json: bool) -> int:
    from opcode_runtime.cli import render

    if as_json:
        render.print_json({"error": error.as_json()})
    render.print_error(error)
    return error.exit
