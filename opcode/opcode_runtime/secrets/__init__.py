"""Secrets: one encrypted file of them, their way into the parameters of a step, and out of whatever comes back.

`open_vault` is for a runtime: `Vault.resolve` puts values where a definition names secrets, `Vault.redacted` takes them
out of outcomes, `redact_line` out of log lines. `open_store` is for the operator, who sets, rotates and removes them,
also beside a running daemon.
"""

from opcode_runtime.secrets._files import LOCK_FILE, USED_FILE, VAULT_FILE
from opcode_runtime.secrets._format import INTERACTIVE, MODERATE, Limits
from opcode_runtime.secrets._logs import redact_line, watching_logs
from opcode_runtime.secrets._passphrase import (
    FD_VARIABLE,
    KEY_VARIABLE,
    close_to_others,
    key_file_of,
    passphrase_in,
    take_passphrase,
)
from opcode_runtime.secrets._redaction import Redactor
from opcode_runtime.secrets._store import SecretInfo, Store, check_name, open_store
from opcode_runtime.secrets._vault import Vault, open_vault

__all__ = [
    "FD_VARIABLE",
    "INTERACTIVE",
    "KEY_VARIABLE",
    "LOCK_FILE",
    "MODERATE",
    "USED_FILE",
    "VAULT_FILE",
    "Limits",
    "Redactor",
    "SecretInfo",
    "Store",
    "Vault",
    "check_name",
    "close_to_others",
    "key_file_of",
    "open_store",
    "open_vault",
    "passphrase_in",
    "redact_line",
    "take_passphrase",
    "watching_logs",
]
