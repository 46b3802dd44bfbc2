"""The functional core: three deterministic functions over values, and no fourth.

`decide(plan, state, command)` says which events follow from a command, `evolve(plan, state, event)` applies one event,
`wanted(plan, state)` says what ought to be going on. None of them knows a clock, chance or the outside.
"""
