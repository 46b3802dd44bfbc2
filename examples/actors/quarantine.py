"""A supervisor that gives up on one child and keeps the others."""

import random

import trio

from actors import BackOff, Intensity, SupervisorPolicy, TrioActor, open_actor_system


class Feed(TrioActor[str, None]):
    async def on_receive(self, message: str) -> None:
        if message == "garbage":
            raise ValueError("cannot parse garbage")


def given_up(name: str, reason: BaseException | None) -> None:
    print(f"{name} is out of service: {reason}")


async def main() -> None:
    chance = random.Random()
    policy = SupervisorPolicy(
        strategy="one_for_one",
        intensity=Intensity(restarts_max=2, within_s=60),
        back_off=BackOff(0.001, jitter=lambda delay_s: chance.uniform(0.5, 1.5) * delay_s),
        on_give_up=given_up,
    )
    async with open_actor_system() as system:
        feeds = await system.supervisor("feeds", policy=policy)
        await feeds.spawn(Feed, name="weather")
        await feeds.spawn(Feed, name="news")
        while (weather := await feeds.wait_child("weather")) is not None:
            weather.tell("garbage")
            await weather.wait_stopped()
        print("still there:", feeds.child_names())
        print("restarts:", feeds.statistics().restarts)


trio.run(main)
