"""What an operator may set. Where a value comes from (flag, environment, file) is the command line's business."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every bound that the engine holds; each refusal names the limit it met."""

    steps_max: int = 2_000
    nesting_max: int = 8
    definition_bytes_max: int = 1 << 20
    iterations_max: int = 10_000
    executions_max: int = 100_000
    reopenings_max: int = 100
    inbox_max: int = 1_000
    depth_max: int = 16
    breaker_failures_max: int = 5
    breaker_cooldown_s: float = 30.0
    recoveries_max: int = 50
    body_bytes_max: int = 4 << 20
    header_bytes_max: int = 16 << 10
    json_depth_max: int = 64
    sessions_max: int = 1_000
    connections_max: int = 1_000
    http_body_bytes_max: int = 10 << 20
    http_resolve_s_max: float = 5.0
    http_connect_s_max: float = 10.0
    http_idle_s_max: float = 300.0
    http_redirects_max: int = 20
    http_ratio_max: int = 100
    http_request_bytes_max: int = 10 << 20
    http_file_bytes_max: int = 1 << 30
    http_retry_after_s_max: float = 3600.0
    output_bytes_max: int = 10 << 20
    file_bytes_max: int = 50 << 20
    list_entries_max: int = 10_000
    tree_entries_max: int = 100_000
    copy_bytes_max: int = 10 << 30
    file_timeout_s: float = 300.0
    shell_memory_bytes_max: int | None = None
    shell_processes_max: int = 4096
    shell_cpu_percent_max: int | None = None
    shell_written_bytes_max: int = 16 << 30
    shell_open_files_max: int = 65_536


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a runtime and of its daemon, with their defaults.

    `answers` maps `*`, an action or `template/step` to `retry`, `skip` or `fail`: how doubt is settled unattended; for
    a reasoning step to the id of an option, or to a text.
    """

    listen_addr: str = "127.0.0.1:4100"
    base_url: str | None = None
    db_path: str | None = None
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"
    pool_size: int = 10
    require_token: bool = True
    drain_s: float = 10.0
    vault_key_file: str | None = None
    on_interrupt: Literal["retry", "ask", "fail"] | None = None
    recovery: Literal["resume", "suspend"] = "resume"
    answers: dict[str, str] = {}
    read_only_paths: tuple[str, ...] = ()
    writable_paths: tuple[str, ...] = ()
    deny_paths: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    allow_private: bool = False
    http_proxy: str | None = None
    isolation: Literal["auto", "rlimits", "landlock", "bwrap"] = "auto"
    min_isolation: Literal["rlimits", "landlock", "bwrap"] | None = None
    cgroup: Literal["auto", "required"] = "auto"
    shell_network: bool = True
    journal_bytes_max: int = 64 << 30
    min_free_bytes: int = 64 << 20
    retention_days: float | None = 90.0
    retention_count: int | None = None
    limits: Limits = Limits()


def settings_from(values: dict[str, Any]) -> Settings:
    """Build settings from plain JSON values.

    Raises:
        ValueError: a key is unknown or a value has the wrong type; the text names it.
    """
    return msgspec.convert(values, Settings)
