"""What an operator allows actions to do, and how much."""

from __future__ import annotations

from typing import Literal

import msgspec

MIB = 1024 * 1024


class HttpLimits(msgspec.Struct, frozen=True):
    """Bounds of one request of `http.*`; a refusal names the field as `limits.http_<field>`.

    Arguments:
        resolve_s_max: for the addresses of a name.
        connect_s_max: for a connection, TLS included.
        idle_s_max: between two signs of life of a server. The whole exchange has the step's own deadline.
        redirects_max: followed, however many more a step allows.
        ratio_max: by how much a body may grow when it is decompressed, from its first MiB on.
        request_bytes_max: of a body that is sent.
        file_bytes_max: of a body that is saved to a file.
        retry_after_s_max: waited before another attempt, however much longer a server asks for.
    """

    resolve_s_max: float = 5.0
    connect_s_max: float = 10.0
    idle_s_max: float = 300.0
    redirects_max: int = 20
    ratio_max: int = 100
    request_bytes_max: int = 10 * MIB
    file_bytes_max: int = 1024 * MIB
    retry_after_s_max: float = 3600.0


class ShellLimits(msgspec.Struct, frozen=True):
    """Bounds of one command of `shell.exec`; a refusal names the field as `limits.shell_<field>`.

    Arguments:
        memory_bytes_max: of its whole tree in a control group, else of each process (address space); None: the
            machine's memory.
        processes_max: processes and threads of its tree; without a control group, beside those that there are.
        cpu_percent_max: 100 is one core; needs a control group; None: no bound.
        written_bytes_max: of any one file that it writes.
        open_files_max: descriptors of each process.
    """

    memory_bytes_max: int | None = None
    processes_max: int = 4096
    cpu_percent_max: int | None = None
    written_bytes_max: int = 16 * 1024 * MIB
    open_files_max: int = 65_536


class ActionSettings(msgspec.Struct, frozen=True):
    """Limits and permissions of the built-in actions.

    Arguments:
        allow_private: `http.*` may reach loopback and private addresses.
        allow_hosts: once it holds anything, the whole list of what `http.*` may reach: a name, `*.suffix`, an address
            or a network, each with an optional `:port`.
        http_proxy: the URL of a proxy that all of `http.*` goes through; none is taken from the environment.
        read_only_paths: roots that may be read. As soon as one root of either kind is set, all else is denied.
        writable_paths: roots that may be read and written.
        deny_paths: denied in any case.
        data_dir: the runtime's own directory, always denied.
        journal_dir: where the journal is, when that is not in it; always denied.
        vault_key_file: always denied.
        body_bytes_max: kept of an HTTP body after decompression.
        output_bytes_max: kept of each of a command's stdout and stderr.
        file_bytes_max: read of a file at once, and written at once.
        list_entries_max: entries of a directory listing.
        http: further bounds of `http.*`.
        isolation: what commands are fenced with; `auto` is the strongest that the machine gives.
        min_isolation: the least that must fence them; without it nothing runs.
        cgroup: whether a control group must be there for them.
        shell_network: False takes the network away from commands, as a whole.
        shell: further bounds of `shell.exec`.
        tree_entries_max: entries that one recursive `fs.*` looks at.
        copy_bytes_max: bytes that one `fs.copy`, or an `fs.move` to another file system, copies.
        file_timeout_s: how long an `fs.*` may take, when its step does not say.
    """

    allow_private: bool = False
    allow_hosts: tuple[str, ...] = ()
    http_proxy: str | None = None
    read_only_paths: tuple[str, ...] = ()
    writable_paths: tuple[str, ...] = ()
    deny_paths: tuple[str, ...] = ()
    data_dir: str | None = None
    journal_dir: str | None = None
    vault_key_file: str | None = None
    body_bytes_max: int = 10 * MIB
    output_bytes_max: int = 10 * MIB
    file_bytes_max: int = 50 * MIB
    list_entries_max: int = 10_000
    tree_entries_max: int = 100_000
    copy_bytes_max: int = 10_240 * MIB
    file_timeout_s: float = 300.0
    http: HttpLimits = HttpLimits()
    isolation: Literal["auto", "rlimits", "landlock", "bwrap"] = "auto"
    min_isolation: Literal["rlimits", "landlock", "bwrap"] | None = None
    cgroup: Literal["auto", "required"] = "auto"
    shell_network: bool = True
    shell: ShellLimits = ShellLimits()
