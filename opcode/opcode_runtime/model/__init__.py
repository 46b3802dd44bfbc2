"""The values opcode speaks in: definitions, commands, events, state, effects, outcomes, errors.

Nothing here acts. Everything here is a msgspec struct, an enumeration or a total function over them, so every other
package may import this one, and this one imports none of them.
"""
