"""The vault of a drill: it has no secrets, and leaves the marks that stand for them where they are.

What a step is given and gives back is then the same in every life, whoever drills, and no secret can end in a report,
an image or a scratch directory. A step that cannot do without the value has a stand-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opcode_runtime.model.secret_text import SecretPlace
from opcode_runtime.secrets import Vault, close_to_others, take_passphrase


class Marks(Vault):
    """A vault that is never locked, and never gives a value."""

    def resolve(
        self,
        params: Any,
        places: tuple[SecretPlace, ...],  # noqa: ARG002
        template: str,  # noqa: ARG002
        version: str,  # noqa: ARG002
    ) -> tuple[Any, tuple[str, ...]]:
        """The parameters as journaled, with `[secret:NAME]` in the places of secrets."""
        return params, ()


def open_marks(folder: Path, _key_file: str | None) -> Vault:
    """Stands in for `open_vault`. A passphrase in the environment is taken out of it, for the sake of real steps."""
    if take_passphrase(None) is not None:
        close_to_others()
    return Marks(folder, None)
