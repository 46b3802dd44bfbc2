"""An append in doubt: the actor ends, its successor reads what is true."""

import trio

from actors import open_actor_system
from actors.persistence import (
    Decision,
    EventSourcedActor,
    FaultPlan,
    InMemoryJournal,
    JournalUnknown,
)


class Sum:
    def initial(self, _stream: str) -> int:
        return 0

    def decide(self, state: int, command: int) -> Decision[int]:
        return Decision((command,), reply=state + command)

    def evolve(self, state: int, event: int) -> int:
        return state + event


async def main() -> None:
    plan = FaultPlan({2: "write_unknown"})
    journal: InMemoryJournal[int] = InMemoryJournal(plan)
    async with open_actor_system() as system:
        ref = await system.spawn(lambda: EventSourcedActor("sum", Sum(), journal), name="sum")
        print(await ref.aask(1, timeout_s=1))
        try:
            await ref.aask(2, timeout_s=1)
        except JournalUnknown as error:
            print(error)
        await ref.wait_stopped()
        successor = await system.wait_child("sum")
        assert successor is not None
        print("what is true:", await successor.aask(4, timeout_s=1))


trio.run(main)
