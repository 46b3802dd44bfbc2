"""What an operator allows actions to do, and how much."""

from __future__ import annotations

import msgspec

MIB = 1024 * 1024


class ActionSettings(msgspec.Struct, frozen=True):
    """Limits and permissions of the built-in actions.

    Arguments:
        allow_private: `http.*` may reach loopback and private addresses.
        allow_hosts: once it holds anything, the whole list of what `http.*` may reach: a name, `*.suffix`, an address
            or a network, each with an optional `:port`.
        read_only_paths: roots that may be read. As soon as one root of either kind is set, all else is denied.
        writable_paths: roots that may be read and written.
        deny_paths: denied in any case.
        data_dir: the runtime's own directory, always denied.
        vault_key_file: always denied.
        body_bytes_max: kept of an HTTP body after decompression.
        output_bytes_max: kept of each of a command's stdout and stderr.
        file_bytes_max: read of a file.
        list_entries_max: entries of a directory listing.
    """

    allow_private: bool = False
    allow_hosts: tuple[str, ...] = ()
    read_only_paths: tuple[str, ...] = ()
    writable_paths: tuple[str, ...] = ()
    deny_paths: tuple[str, ...] = ()
    data_dir: str | None = None
    vault_key_file: str | None = None
    body_bytes_max: int = 10 * MIB
    output_bytes_max: int = 10 * MIB
    file_bytes_max: int = 50 * MIB
    list_entries_max: int = 100_000
