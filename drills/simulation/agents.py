"""Those who use a simulated runtime: they order workflows, answer, let go on, meddle, and call again after a crash."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from drills.simulation.ledger import Followed, Ledger
from drills.simulation.plan import Order
from drills.simulation.ports import Ports, naming
from drills.simulation.script import Script
from opcode_runtime import OpcodeError, Runtime
from opcode_runtime.engine.runtime import EMBEDDED
from opcode_runtime.model.state import HELD, WorkflowStatus

AGAIN_S = 5.0
CALLS_MAX = 400
"""A workflow that takes more calls in one life than this does not get anywhere."""

WHIMS_MAX = 25
"""How often in a life somebody does what nobody asked for."""

_TAKEN = frozenset({"BUSY", "DEGRADED", "STORE_ERROR"})
_QUERIES = ("workflows", "templates", "decisions", "agents")


class Agents:
    """Everybody outside. They outlive the process, and remember what they were told."""

    def __init__(
        self, script: Script, ledger: Ledger, ports: Ports, orders: tuple[Order, ...]
    ) -> None:
        self.chance = random.Random(f"agents {script.fate('agents').random()}")
        self.orders = orders
        self.known: dict[str, str] = {}
        self.acknowledged: dict[tuple[str, str], str] = {}
        self.calls = 0
        self._script = script
        self._ledger = ledger
        self._ports = ports
        self._meddled = 0

    async def order(self, runtime: Runtime, order: Order) -> None:
        """Start a workflow, however often that takes, and be told the same each time."""
        await trio.sleep(order.delay_s)
        times = 2 if self._ports.on("doubles") else 1
        while times:
            naming.set(f"{order.label} {self.calls}")
            started = await self._call(self._start, runtime, order)
            times -= bool(started)
            if not started:
                await trio.sleep(AGAIN_S)

    async def _start(self, runtime: Runtime, order: Order) -> None:
        inputs = {**order.inputs, "label": order.label}
        handle = await runtime.run(order.template, inputs, idempotency_key=order.label)
        found = handle.workflow_id
        if self.known.setdefault(order.label, found) != found:
            self._ledger.breaks("P12 key_once", f"{order.label} is {found} as well")
        self._acknowledge("run", order.label, found)

    async def attend(self, runtime: Runtime, followed: Followed) -> None:
        """Give a workflow whatever it waits for, until it has ended."""
        calls = 0
        while not followed.ended:
            wish = self._wish(followed)
            if wish is None or not await self._call(wish, runtime):
                with trio.move_on_after(AGAIN_S if wish else 600):
                    await followed.grown.wait()
            calls += wish is not None
            if calls > CALLS_MAX:
                self._ledger.breaks(
                    "I-C9 no_stuck", f"{followed.label} gets nowhere: {_view(followed)}"
                )
                return

    def _wish(self, followed: Followed) -> Callable[[Runtime], Awaitable[None]] | None:
        """What the workflow needs from outside next."""
        state = followed.state
        if state.suspended_for in HELD:
            return self._signal(followed, f"resume {state.seq}", "resume")
        if state.status not in {WorkflowStatus.ACTIVE, WorkflowStatus.SUSPENDED}:
            return None
        for path, name in state.asking.items():
            return self._answer(followed, path, name)
        for path, signal in state.waiting.items():
            if signal:
                key = f"{path} {state.steps[path].attempt} {state.steps[path].resets}"
                return self._signal(followed, key, signal, {"n": 1})
        return None

    def _answer(
        self, followed: Followed, path: str, name: str
    ) -> Callable[[Runtime], Awaitable[None]]:
        decision = followed.state.decisions[name]
        fate = self._script.fate("lazy", followed.label, path)
        lazy = self._ports.on("lazy") and decision.timeout_at is not None
        lazy_s = fate.choice((1.0, 30.0, 4000.0)) if lazy else 0.0
        payload = self._script.answer(followed, decision)
        say = self._signal(
            followed,
            f"answer {name}",
            "decision",
            payload,
            decision.step_id,
            decision.target_agent_id or EMBEDDED,
        )

        async def answer(runtime: Runtime) -> None:
            with trio.move_on_after(lazy_s):
                await followed.grown.wait()
            if path in followed.state.asking:
                await say(runtime)

        return answer

    def _signal(
        self,
        followed: Followed,
        key: str,
        kind: str,
        payload: dict[str, Any] | None = None,
        step_id: str | None = None,
        agent_id: str = EMBEDDED,
    ) -> Callable[[Runtime], Awaitable[None]]:
        async def send(runtime: Runtime) -> None:
            for _ in range(2 if self._ports.on("doubles") else 1):
                await runtime.signal(
                    followed.stream,
                    kind,
                    payload,
                    step_id=step_id,
                    agent_id=agent_id,
                    idempotency_key=f"{followed.stream} {key}",
                )
                self._acknowledge("signal", f"{followed.stream} {key}", followed.stream)

        return send

    async def meddle(self, runtime: Runtime) -> None:
        """Do now and then what nobody asked for."""
        for _ in range(WHIMS_MAX):
            await trio.sleep(self.chance.expovariate(1 / 8))
            is_open = [each for each in self._ledger.followed.values() if not each.ended]
            if self._ports.calm or not is_open:
                continue
            followed = self.chance.choice(sorted(is_open, key=lambda each: each.label))
            await self._call(self._whim(followed), runtime)

    def _whim(self, followed: Followed) -> Callable[[Runtime], Awaitable[None]]:
        self._meddled += 1
        path = self.chance.choice([None, *followed.state.steps])
        whims: list[tuple[str, str, dict[str, Any], str | None]] = [
            ("pauses", "pause", {}, None),
            ("operates", self.chance.choice(("retry", "skip")), {}, path),
            ("strays", "nobody waits for this", {"n": 1}, path),
            ("strays", "data", {"key": 1}, None),
            ("strays", "decision", {"choice": "maybe"}, path),
        ]
        if self.chance.random() < 0.2:
            whims.append(("cancels", "cancel", {}, None))
        ours = [whim for whim in whims if self._ports.on(whim[0])]
        if not ours or self.chance.random() < 0.3:
            return self._look(followed)
        _, kind, payload, step_id = self.chance.choice(ours)
        return self._signal(followed, f"whim {self._meddled}", kind, payload, step_id)

    def _look(self, followed: Followed) -> Callable[[Runtime], Awaitable[None]]:
        resource = self.chance.choice(_QUERIES)

        async def look(runtime: Runtime) -> None:
            await runtime.status(followed.stream)
            await runtime.query(resource)

        return look

    async def _call(self, call: Callable[..., Awaitable[None]], *arguments: Any) -> bool:
        """Make a call; False when it was refused."""
        self.calls += 1
        try:
            await call(*arguments)
        except OpcodeError as error:
            if error.code.value in _TAKEN:
                await trio.sleep(1.0)
            return False
        return True

    def _acknowledge(self, tool: str, key: str, stream: str) -> None:
        """A call was answered well: what it did has to be on disk, now (I-R6) and for ever (I-J4)."""
        name = (f"{EMBEDDED}|{tool}", key)
        self.acknowledged[name] = stream
        if not self._is_durable(name, stream):
            self._ledger.breaks(
                "I-R6 reply_after_commit", f"{name} was answered and is not on disk"
            )

    def check_acknowledged(self) -> None:
        """Whatever was ever answered well is on disk."""
        for name, stream in self.acknowledged.items():
            if not self._is_durable(name, stream):
                self._ledger.breaks("I-J4 ack_implies_durable", f"{name} was answered and is gone")

    def _is_durable(self, name: tuple[str, str], stream: str) -> bool:
        row = self._ledger.journal.key(*name)
        return row is not None and row.stream == stream and name in self._ledger.keys


def _view(followed: Followed) -> str:
    state = followed.state
    return f"{state.status} for {state.suspended_for}, {dict(state.unfinished)}"
