"""The actions that every runtime has."""

from __future__ import annotations

from opcode_runtime.actions.assertions import (
    assert_contains,
    assert_equals,
    assert_matches,
    assert_schema,
)
from opcode_runtime.actions.cryptography import crypto_hash, crypto_hmac, crypto_uuid
from opcode_runtime.actions.expression import expr_eval
from opcode_runtime.actions.fs import fs_append, fs_list, fs_read, fs_write
from opcode_runtime.actions.fs_tree import fs_copy, fs_delete, fs_move, fs_stat
from opcode_runtime.actions.http import http_get, http_post, http_request
from opcode_runtime.actions.registry import Action, Registry
from opcode_runtime.actions.shell import shell_exec
from opcode_runtime.actions.workflows import (
    workflow_context,
    workflow_emit,
    workflow_fail,
    workflow_log,
    workflow_notify,
    workflow_run,
)

BUILTIN_ACTIONS: tuple[Action, ...] = (
    assert_contains,
    assert_equals,
    assert_matches,
    assert_schema,
    crypto_hash,
    crypto_hmac,
    crypto_uuid,
    expr_eval,
    fs_append,
    fs_copy,
    fs_delete,
    fs_list,
    fs_move,
    fs_read,
    fs_stat,
    fs_write,
    http_get,
    http_post,
    http_request,
    shell_exec,
    workflow_context,
    workflow_emit,
    workflow_fail,
    workflow_log,
    workflow_notify,
    workflow_run,
)


def builtin_registry() -> Registry:
    """A new registry that holds the built-in actions."""
    return Registry(BUILTIN_ACTIONS)
