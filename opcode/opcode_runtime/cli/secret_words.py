"""`opcode secret set|list|rm|rotate|allow|import-env`: the vault as its operator sees it.

Rule 1: the words work on the vault's file, whether a daemon runs or not; a running one sees the change at once.
Rule 2: values come from standard input, a prompt without echo, or the environment; never from the words, which every
process list and shell history shows. No word prints a value.
Rule 3: the passphrase comes from where the daemon takes it; where that gives none, a terminal is asked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from opcode_runtime.cli.exits import CommandError, Exit, usage_error
from opcode_runtime.cli.journal_place import HERE, Place, told
from opcode_runtime.cli.options import FLAG

if TYPE_CHECKING:
    from opcode_runtime.secrets import SecretInfo, Store

secret = App(name="secret", help="Keep the secrets that workflows use.", version_flags=[])

_Templates = Annotated[tuple[str, ...], Parameter(name="--template", negative="")]


@secret.command(name="set")
def set_(
    name: str,
    /,
    *,
    templates: _Templates = (),
    any_template: Annotated[bool, FLAG] = False,
    force: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Keep a secret, or give it another value and list of templates; the value comes from standard input or a prompt.

    Arguments:
        name: As in ${{secrets.NAME}}.
        templates: A template that may use it, NAME or NAME@vN; may be given several times (default: as before, any).
        any_template: Let any template use it.
        force: Also keep a value that is shorter than eight bytes.
    """
    allowed = _allowed(templates, any_template, "as before")
    with told():
        store = _open(place)
        _check_name(name)
        store.put(name, _value(name), templates=allowed, force=force)
        return _say(place, store, name, "is kept")


@secret.command
def rotate(
    name: str | None = None,
    /,
    *,
    passphrase: Annotated[bool, FLAG] = False,
    new_key_file: Path | None = None,
    force: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Give a secret another value, or encrypt the vault under another passphrase.

    Arguments:
        name: The secret; the value comes from standard input or a prompt.
        passphrase: Encrypt everything anew instead; a running daemon has to be restarted with the new passphrase.
        new_key_file: File (mode 0600) with the new passphrase (default: a prompt).
        force: Also keep a value that is shorter than eight bytes.
    """
    if (name is None) != (passphrase or new_key_file is not None):
        raise usage_error("Say what to rotate: either the name of a secret, or --passphrase.")
    with told():
        store = _open(place)
        if name is None:
            store.reencrypt(_new_passphrase(new_key_file))
            return _answer(
                place, {"reencrypted": True}, "The vault is encrypted under the new passphrase."
            )
        _check_name(name)
        store.put(name, _value(name), only="old", force=force)
        return _say(place, store, name, "has another value")


@secret.command
def allow(
    name: str,
    /,
    *,
    templates: _Templates = (),
    any_template: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Say which templates may use a secret; what was said before no longer holds.

    Arguments:
        name: The secret.
        templates: A template, NAME or NAME@vN; may be given several times.
        any_template: Let any template use it.
    """
    if not templates and not any_template:
        raise usage_error("Say which: --template NAME, once or more often, or --any-template.")
    allowed = _allowed(templates, any_template, None)
    with told():
        store = _open(place)
        store.allow(name, allowed)
        return _say(place, store, name, "is kept")


@secret.command(name="list")
def list_(*, place: Place = HERE) -> int:
    """List the secrets: name, which templates may use it, when it was changed and last used. Never a value."""
    with told():
        found = _open(place).listed()
    if not place.json:
        from opcode_runtime.cli import render

        for line in _lines(found):
            render.print_line(line)
        return Exit.DONE
    return _answer(place, {"secrets": [_plain(each) for each in found]}, "")


@secret.command
def rm(*names: str, place: Place = HERE) -> int:
    """Forget secrets. Steps that name one fail from then on.

    Arguments:
        names: The secrets.
    """
    if not names:
        raise usage_error("Say which secret to remove.")
    with told():
        store = _open(place)
        for name in names:
            store.remove(name)
    return _answer(place, {"removed": list(names)}, f"{', '.join(names)} removed.")


@secret.command(name="import-env")
def import_env(
    *variables: str,
    templates: _Templates = (),
    any_template: Annotated[bool, FLAG] = False,
    prefix: str | None = None,
    force: Annotated[bool, FLAG] = False,
    place: Place = HERE,
) -> int:
    """Keep the values of variables of this command's environment as secrets of the same names.

    Arguments:
        variables: The variables.
        templates: A template that may use them, NAME or NAME@vN; may be given several times.
        any_template: Let any template use them.
        prefix: Also every variable that begins with this, without it.
        force: Also keep values that are shorter than eight bytes.
    """
    allowed = _allowed(templates, any_template, "as before")
    with told():
        store = _open(place)
        wanted = _from_environment(variables, prefix)
        for name, value in wanted.items():
            store.put(name, value, templates=allowed, force=force)
    names = ", ".join(wanted)
    return _answer(place, {"imported": list(wanted)}, f"Kept: {names}.")


def _from_environment(variables: tuple[str, ...], prefix: str | None) -> dict[str, str]:
    missing = [each for each in variables if each not in os.environ]
    if missing:
        raise usage_error(f"There is no variable {missing[0]} in the environment.")
    wanted = {each: os.environ[each] for each in variables}
    for name, value in os.environ.items():
        if prefix and name.startswith(prefix) and name != prefix:
            wanted[name.removeprefix(prefix)] = value
    if not wanted:
        raise usage_error(
            "It was not said what to import, or no variable begins so.",
            next="Name the variables, or give --prefix.",
        )
    return wanted


def _allowed(templates: tuple[str, ...], any_template: bool, otherwise: Any) -> Any:
    """The list of templates that was given, each checked; None for any."""
    from opcode_runtime.cli.template_words import template_of

    if templates and any_template:
        raise usage_error("--template and --any-template exclude each other.")
    for each in templates:
        template_of(each)
    return templates or (None if any_template else otherwise)


def _open(place: Place) -> Store:
    from opcode_runtime.cli.settings import load_settings
    from opcode_runtime.secrets import VAULT_FILE, key_file_of, open_store, take_passphrase

    home = place.home()
    passphrase = take_passphrase(key_file_of(home, load_settings(home).vault_key_file))
    if passphrase is None:
        passphrase = _asked("Passphrase of the vault", twice=not (home / VAULT_FILE).exists())
    return open_store(home, passphrase)


def _new_passphrase(key_file: Path | None) -> bytes:
    from opcode_runtime.secrets import passphrase_in

    if key_file is not None:
        return passphrase_in(str(key_file))
    return _asked("New passphrase of the vault", twice=True)


def _asked(what: str, *, twice: bool) -> bytes:
    """What is typed on the terminal, which is not always standard input.

    Raises:
        CommandError: there is no terminal, or two answers differ.
    """
    import getpass

    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        raise CommandError(
            f"{what}: there is no terminal to ask at.",
            Exit.FAILED,
            next="Give the passphrase in OPCODE_VAULT_KEY or OPCODE_VAULT_KEY_FD, or name its file in the setting "
            "vault_key_file.",
            code="VAULT_ERROR",
        ) from None
    answer = getpass.getpass(f"{what}: ")
    if twice and getpass.getpass("Once more: ") != answer:
        raise usage_error("The two answers differ; nothing was changed.")
    return answer.encode()


def _value(name: str) -> str:
    """The value of a secret, from standard input to its end, or from a prompt."""
    if sys.stdin.isatty():
        return _asked(f"Value of {name}", twice=True).decode()
    body = sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise usage_error(
            f"The value of {name} is no text (UTF-8).", next="Encode it, for example as base64."
        ) from None


def _check_name(name: str) -> None:
    from opcode_runtime.secrets import check_name

    check_name(name)


def _say(place: Place, store: Store, name: str, what: str) -> int:
    found = next(each for each in store.listed() if each.name == name)
    return _answer(place, _plain(found), f"{name} {what}; {_who(found)} may use it.")


def _answer(place: Place, answer: dict[str, Any], line: str) -> int:
    from opcode_runtime.cli import render

    if place.json:
        render.print_json(answer)
    else:
        render.print_line(line)
    return Exit.DONE


def _who(found: SecretInfo) -> str:
    return "any template" if found.templates is None else ", ".join(found.templates)


def _plain(found: SecretInfo) -> dict[str, Any]:
    from opcode_runtime.model.times import rfc3339

    used = found.last_used_at
    return {
        "name": found.name,
        "templates": None if found.templates is None else list(found.templates),
        "created_at": rfc3339(found.created_at),
        "changed_at": rfc3339(found.changed_at),
        "last_used_at": None if used is None else rfc3339(used),
    }


def _lines(found: list[SecretInfo]) -> list[str]:
    """The list as a table."""
    rows = [("NAME", "TEMPLATES", "CHANGED", "LAST USED")]
    for each in found:
        plain = _plain(each)
        who = "any" if each.templates is None else ", ".join(each.templates)
        rows.append((each.name, who, plain["changed_at"], plain["last_used_at"] or "never"))
    widths = [max(len(row[at]) for row in rows) for at in range(4)]
    if len(rows) == 1:
        return ["The vault is empty."]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
