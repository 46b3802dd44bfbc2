"""Where a setting comes from: flag before environment before file before default.

Every layer is checked by itself against the settings model, so a complaint names the one place to mend: the flag, the
variable, or the file with its line. A file that is not understood is never half used: an unknown key is an error.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from opcode_runtime.cli.exits import CommandError, usage_error
from opcode_runtime.cli.json_files import line_of_key, read_object
from opcode_runtime.model.settings import Limits, Settings, settings_from

ENVIRONMENT: dict[str, str] = {
    "OPCODE_LISTEN_ADDR": "listen_addr",
    "OPCODE_BASE_URL": "base_url",
    "OPCODE_DB_PATH": "db_path",
    "OPCODE_LOG_LEVEL": "log_level",
    "OPCODE_POOL_SIZE": "pool_size",
}
"""The documented variables and the settings they stand for. `OPCODE_HOME` moves the data directory itself."""

SETTINGS_FILE = "settings.json"
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
_DOUBT = ("retry", "skip", "fail")


def data_dir_of(flag: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The data directory: `--data-dir`, else `OPCODE_HOME`, else `~/.opcode`. Absolute; not created here."""
    chosen = flag if flag is not None else environment.get("OPCODE_HOME") or "~/.opcode"
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError:
        raise usage_error(
            "There is no home directory to keep data in.",
            next="Name a directory with --data-dir or OPCODE_HOME.",
        ) from None


def load_settings(
    data_dir: Path,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Put the layers together.

    Arguments:
        data_dir: where `settings.json` may lie.
        flags: values given on the command line, by setting name; None means not given.
        environment: the process environment.

    Raises:
        CommandError: some layer holds an unknown key or a wrong value; names the layer, for the file with its line.
    """
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    merged = _file_layer(data_dir / SETTINGS_FILE)
    merged |= _environment_layer(environment)
    for key, value in given.items():
        _check({key: value}, lambda _path, key=key: f"the flag --{key.replace('_', '-')}")
    return settings_from(_absolute(merged | given))


def _file_layer(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    values, text = read_object(path)

    def place(keys: tuple[str, ...]) -> str:
        line = line_of_key(text, keys)
        return f"{path}, line {line}" if line else str(path)

    _refuse_unknown(values, Settings, (), place)
    _check(values, place)
    if values.get("db_path"):
        values["db_path"] = str(path.parent / Path(values["db_path"]).expanduser())
    return values


def _environment_layer(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, key in ENVIRONMENT.items():
        if not (text := environment.get(variable, "")):
            continue
        value: Any = int(text) if key == "pool_size" and re.fullmatch(r"-?\d{1,9}", text) else text
        _check({key: value}, lambda _path, variable=variable: f"the variable {variable}")
        values[key] = value
    return values


def _absolute(values: dict[str, Any]) -> dict[str, Any]:
    if path := values.get("db_path"):
        values["db_path"] = str(Path(path).expanduser().absolute())
    return values


def _refuse_unknown(values: dict[str, Any], model: Any, at: tuple[str, ...], place: Any) -> None:
    known = {field.name: field for field in msgspec.structs.fields(model)}
    for key, value in values.items():
        here = (*at, key)
        if key not in known:
            raise _unknown_key(key, here, list(known), place)
        inner = known[key].type
        if (
            isinstance(value, dict)
            and isinstance(inner, type)
            and issubclass(inner, msgspec.Struct)
        ):
            _refuse_unknown(value, inner, here, place)


def _unknown_key(key: str, at: tuple[str, ...], known: list[str], place: Any) -> CommandError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(sorted(known))}."
    return usage_error(f"{place(at)}: there is no setting {'.'.join(at)!r}.", next=hint)


def _check(values: dict[str, Any], place: Any) -> None:
    """Hold one layer against the model and against what types alone cannot say."""
    try:
        settings = settings_from(values)
    except ValueError as error:
        text = str(error)
        found = _PATH.search(text)
        keys = tuple(re.sub(r"\[[^]]*\]", "", found[1]).split(".")) if found else tuple(values)[:1]
        reason = _PATH.sub("", text)
        raise usage_error(f"{place(keys)}: {'.'.join(keys)}: {_readable(reason)}.") from None
    for key, wrong in _out_of_range(settings):
        raise usage_error(f"{place(tuple(key.split('.')))}: {key}: {wrong}.")


def _readable(reason: str) -> str:
    return reason[:1].lower() + reason[1:].replace("`", "")


def _out_of_range(settings: Settings) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if settings.pool_size < 1:
        found.append(("pool_size", "at least one step must be able to run, so 1 or more"))
    if not math.isfinite(settings.drain_s) or settings.drain_s < 0:
        found.append(("drain_s", "a number of seconds, 0 or more"))
    if settings.journal_bytes_max < 16 << 20:
        found.append(("journal_bytes_max", "at least 16777216 (16 MiB)"))
    if settings.min_free_bytes < 0:
        found.append(("min_free_bytes", "a number of bytes, 0 or more"))
    days = settings.retention_days
    if days is not None and (not math.isfinite(days) or days <= 0):
        found.append(("retention_days", "a number of days above 0, or null to keep everything"))
    if settings.retention_count is not None and settings.retention_count < 0:
        found.append(("retention_count", "0 or more, or null for any number"))
    # A step may be one that asks an agent: then any text may be an answer.
    general = {key: value for key, value in settings.answers.items() if "/" not in key}
    wrong = sorted(key for key, value in general.items() if value not in _DOUBT)
    if wrong:
        found.append(("answers", f"the answer to {wrong[0]!r} must be one of {', '.join(_DOUBT)}"))
    return found + _limits_out_of_range(settings.limits)


_MAY_BE_ZERO = frozenset(
    {"depth_max", "reopenings_max", "breaker_failures_max", "breaker_cooldown_s"}
)


def _limits_out_of_range(limits: Limits) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in msgspec.structs.asdict(limits).items():
        least = 0 if name in _MAY_BE_ZERO else 1
        if value is not None and (not math.isfinite(value) or value < least):
            found.append((f"limits.{name}", f"a number, {least} or more"))
    return found
