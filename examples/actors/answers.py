"""The four ways in which an ask ends."""

from dataclasses import dataclass

import trio

from actors import ActorDeadError, AskTimeout, TrioActor, open_actor_system


@dataclass(frozen=True)
class Divide:
    by: int


@dataclass(frozen=True)
class Nap:
    duration_s: float


class Calculator(TrioActor[Divide | Nap, int]):
    async def on_receive(self, message: Divide | Nap) -> int:
        match message:
            case Divide(by):
                return 84 // by
            case Nap(duration_s):
                await trio.sleep(duration_s)
                return 0


async def main() -> None:
    async with open_actor_system() as system:
        calculator = await system.spawn(Calculator, name="calculator")
        print(await calculator.aask(Divide(2), timeout_s=1))
        try:
            await calculator.aask(Divide(0), timeout_s=1)
        except ZeroDivisionError as error:
            print("the handler raised:", error)
        try:
            await calculator.aask(Nap(0.2), timeout_s=0.01)
        except AskTimeout as error:
            print("no answer in time:", error)
        await calculator.astop()
        try:
            await calculator.aask(Divide(2), timeout_s=1)
        except ActorDeadError:
            print("nobody is there")


trio.run(main)
