"""`opcode define|run|status|query|signal`: each is one call on the running daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from opcode_runtime.cli.exits import Exit
from opcode_runtime.cli.journal_place import refuse_flag
from opcode_runtime.cli.options import FLAG, LOCAL, THE_CLI, Caller, Daemon


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


def signal(
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
