"""Actors by key, which go when nobody needs them."""

import trio

from actors import Registry, TrioActor, open_actor_system


class Session(TrioActor[str, int]):
    idle_s = 0.05

    def __init__(self, user: str) -> None:
        super().__init__()
        self.user = user
        self.pages: list[str] = []

    async def on_start(self) -> None:
        print(self.user, "comes")

    async def on_stop(self) -> None:
        print(self.user, "goes")

    async def on_receive(self, message: str) -> int:
        self.pages.append(message)
        return len(self.pages)


async def main() -> None:
    async with open_actor_system() as system:
        sessions: Registry[str] = Registry(system)

        async def visit(user: str) -> int:
            return await sessions.ask(user, lambda: Session(user), "/index", timeout_s=1)

        print(await visit("ada"))
        print(await visit("ada"))
        await trio.sleep(0.1)
        print("ada's session:", sessions.get("ada"))
        print(await visit("ada"))


trio.run(main)
