"""The words of the command line, and the one place where an error becomes an exit code.

Rule 1: the module of a word is imported when the word is used, and what is slow when the word needs it.
Rule 2: an unknown word, flag or value is an error with a suggestion, never a start of the daemon.
Rule 3: what a command answers goes to standard output, everything about it to standard error.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from opcode_runtime.cli.entry import print_version
from opcode_runtime.cli.exits import CommandError, usage_error
from opcode_runtime.cli.options import FLAG, Json

_EPILOGUE = (
    "Exit codes: 0 done · 1 the workflow or a check failed, or the daemon could not start · 2 usage · "
    "3 no daemon · 4 a workflow waits for a decision."
)
_WORDS = {
    "backup": "journal_words:backup",
    "define": "client_words:define",
    "doctor": "upkeep_words:doctor",
    "drill": "drill_word:drill",
    "export": "journal_words:export",
    "import": "journal_words:import_",
    "prune": "upkeep_words:prune",
    "query": "client_words:query",
    "replay": "journal_words:replay",
    "restore": "journal_words:restore",
    "run": "client_words:run",
    "secret": "secret_words:secret",
    "signal": "client_words:signal",
    "status": "client_words:status",
    "template": "template_words:template",
    "verify": "journal_words:verify",
}
"""The words that live in modules of their own, which `serve` does not need."""

app = App(
    name="opcode",
    help="A durable workflow runtime for AI agents. Without a command: start the daemon.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    version_flags=[],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for _word, _home in _WORDS.items():
    app.command(f"{__package__}.{_home}", name=_word)


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
    json: Json = False,
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
def version(*, json: Json = False) -> int:
    """Print the version."""
    return print_version(as_json=json)


@app.command
def demo(
    *,
    folder: Path | None = None,
    keep: Annotated[bool, FLAG] = False,
    json: Json = False,
) -> int:
    """Show a workflow survive the death of its daemon: a real daemon, a real agent, a real kill.

    Arguments:
        folder: The folder whose files are counted and hashed (default: the current one); it is only read.
        keep: Leave the temporary directory behind.
        json: Print the account as JSON.
    """
    from opcode_runtime.cli.demo import run_demo

    return run_demo(folder or Path.cwd(), keep=keep, as_json=json)


def run_words(words: list[str]) -> int:
    """Run one command.

    Returns:
        the exit code, as documented in `exits`.
    """
    try:
        return _run(words)
    except CommandError as error:
        return _report(error, as_json="--json" in words)


def _run(words: list[str]) -> int:
    if not words or words[0].startswith("-"):
        _describe_words(words)
    else:
        _refuse_unknown_command(words[0])
    try:
        result = app(words, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _in_words(error, words) from None
    return int(result or 0)


def _describe_words(words: list[str]) -> None:
    """The help of the whole says what each word is for, which the word itself tells."""
    if any(flag in words for flag in app.help_flags):
        for word in _WORDS:
            app[word]


def _refuse_unknown_command(word: str) -> None:
    """A first word that is no command would else be taken for an argument of the default command."""
    known = [name for name in app if not name.startswith("-")]
    if word in known:
        return
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"Did you mean `opcode {near[0]}`?" if near else f"Commands: {', '.join(sorted(known))}."
    raise usage_error(f"There is no command {word!r}.", next=hint)


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
