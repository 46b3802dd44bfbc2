"""`opcode template list|show|rm`: the versions of templates that the daemon keeps."""

from __future__ import annotations

from cyclopts import App

from opcode_runtime.cli.exits import Exit, usage_error
from opcode_runtime.cli.options import CLI_AGENT, LOCAL, Daemon

template = App(name="template", help="List, show and remove templates.", version_flags=[])


@template.command(name="list")
def list_(name: str | None = None, /, *, daemon: Daemon = LOCAL) -> int:
    """List every version of every template, the latest of each first.

    Arguments:
        name: Only the versions of this one.
    """
    from opcode_runtime.cli import render
    from opcode_runtime.cli.templates import all_templates

    found = all_templates(daemon.target(), name)
    if daemon.json:
        render.print_json({"templates": found})
    else:
        render.print_rows("templates", {"templates": found})
    return Exit.DONE


@template.command
def show(template: str, /, *, daemon: Daemon = LOCAL) -> int:
    """Show a template whole: its definition, schemas, triggers and permissions.

    Arguments:
        template: NAME for its latest version, or NAME@vN.
    """
    from opcode_runtime.cli import render
    from opcode_runtime.cli.templates import the_template

    name, version = template_of(template)
    found = the_template(daemon.target(), name, version)
    (render.print_json if daemon.json else render.print_template)(found)
    return Exit.DONE


@template.command
def rm(template: str, /, *, agent_id: str = CLI_AGENT, daemon: Daemon = LOCAL) -> int:
    """Take a template out of use. Workflows that have used it keep it; while one has not ended, this is refused.

    Arguments:
        template: NAME for all its versions, or NAME@vN for one.
        agent_id: Who acts.
    """
    from opcode_runtime.cli import render
    from opcode_runtime.cli.templates import remove_template

    name, version = template_of(template)
    answer = remove_template(daemon.target(), name, version, agent_id=agent_id)
    if daemon.json:
        render.print_json(answer)
    else:
        render.print_line(f"{name} {', '.join(answer['removed'])} removed.")
    return Exit.DONE


def template_of(text: str) -> tuple[str, str | None]:
    """Name and version of `NAME` or `NAME@vN`.

    Raises:
        CommandError: it is neither.
    """
    name, at, version = text.partition("@")
    is_version = version[:1] == "v" and version[1:].isascii() and version[1:].isdecimal()
    if not name or (at and not is_version):
        raise usage_error(
            f"{text!r} is neither NAME nor NAME@vN.", next="Such as greet, or greet@v2."
        )
    return name, version if at else None
