"""One attempt of an action, between its parameters as journaled and its outcome as it will be.

Rule 1: secrets are put into the parameters here and nowhere else, for this one attempt; the next one asks again.
Rule 2: no outcome leaves here that holds a value of the vault.
"""

from __future__ import annotations

from opcode_runtime.actions import Action, Call
from opcode_runtime.actions.beside import BESIDE_LOOP_BYTES
from opcode_runtime.engine.breakers import perform_guarded
from opcode_runtime.engine.kit import Kit
from opcode_runtime.engine.recovery import read_off_loop
from opcode_runtime.engine.secret_places import placed
from opcode_runtime.model.definition import Template
from opcode_runtime.model.errors import OpcodeError
from opcode_runtime.model.json_size import is_larger
from opcode_runtime.model.outcome import Completed, Failed, Outcome
from opcode_runtime.model.state import StepState


async def perform_with_secrets(
    kit: Kit, template: Template, action: Action, step: StepState, call: Call
) -> Outcome:
    """Run one attempt of `step`, which belongs to `template`."""
    params = step.params or {}
    try:
        if step.secrets:
            places = placed(action.spec, step.secrets)
            names = template.name, template.version
            params, call.secrets = kit.vault.resolve(params, places, *names)
    except OpcodeError as error:
        return Failed(error.info(step.path))
    return await _redacted(kit, await perform_guarded(kit.breakers, action, params, call))


async def _redacted(kit: Kit, outcome: Outcome) -> Outcome:
    if kit.vault.redactor.knows_nothing:
        return outcome
    if isinstance(outcome, Completed) and is_larger(outcome.output, BESIDE_LOOP_BYTES):
        return await read_off_loop(kit.clock, lambda: kit.vault.redacted(outcome))
    return kit.vault.redacted(outcome)
