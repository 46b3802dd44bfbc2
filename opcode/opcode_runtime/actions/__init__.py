"""Actions: what steps do.

`action` makes one of a function, `Registry` finds it by name, `perform` runs an attempt of it to an outcome.
`builtin_registry` holds those that every runtime has.
"""

from opcode_runtime.actions.builtin import BUILTIN_ACTIONS, builtin_registry
from opcode_runtime.actions.call import Call
from opcode_runtime.actions.egress import EgressPolicy, check_egress
from opcode_runtime.actions.params import check_params, param_warnings, read_params, takes_secrets
from opcode_runtime.actions.perform import perform, perform_in_place
from opcode_runtime.actions.registry import Action, Registry, action
from opcode_runtime.actions.resources import ActionResources, open_action_resources
from opcode_runtime.actions.settings import ActionSettings, HttpLimits, ShellLimits

__all__ = [
    "BUILTIN_ACTIONS",
    "Action",
    "ActionResources",
    "ActionSettings",
    "Call",
    "EgressPolicy",
    "HttpLimits",
    "Registry",
    "ShellLimits",
    "action",
    "builtin_registry",
    "check_egress",
    "check_params",
    "open_action_resources",
    "param_warnings",
    "perform",
    "perform_in_place",
    "read_params",
    "takes_secrets",
]
