"""A peer in a process of its own: `python peers_side.py dbos|langgraph FOLDER`, in the environment of the peers.

Imports nothing of ours. Reads lines `{"count": 10, "clients": 1}` and answers each with the seconds of every workflow
and of all together. A workflow has ten steps in a row that do nothing, as their documentation writes it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict

STEPS = 10

Workflow = Callable[[str], None]


def dbos(folder: Path) -> tuple[Workflow, dict[str, Any]]:
    """DBOS on SQLite."""
    from dbos import DBOS  # type: ignore[import-not-found, unused-ignore]

    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "run_admin_server": False,
            "log_level": "ERROR",
        }
    )

    @DBOS.step()  # type: ignore[untyped-decorator, unused-ignore]
    def step() -> None:
        """Nothing."""

    @DBOS.workflow()  # type: ignore[untyped-decorator, unused-ignore]
    def ten() -> None:
        for _ in range(STEPS):
            step()

    DBOS.launch()
    return lambda _name: ten(), _pragmas()


def _pragmas() -> dict[str, Any]:
    """What its own connections say about durability."""
    try:
        from dbos._dbos import _get_dbos_instance  # type: ignore[import-not-found, unused-ignore]
        from sqlalchemy import text  # type: ignore[import-not-found, unused-ignore]

        engine = _get_dbos_instance()._sys_db.engine
        with engine.connect() as connection:
            names = ("journal_mode", "synchronous")
            return {name: connection.execute(text(f"pragma {name}")).scalar() for name in names}
    except Exception as error:  # a boundary: what a release calls its parts is its own affair
        return {"pragmas": f"not known: {type(error).__name__}"}


class State(TypedDict):
    """The state of the graph."""

    count: int


def langgraph(folder: Path) -> tuple[Workflow, dict[str, Any]]:
    """LangGraph with its SQLite saver, each step saved before the next."""
    import sqlite3

    from langgraph.checkpoint.sqlite import SqliteSaver  # type: ignore[import-not-found, unused-ignore]
    from langgraph.graph import END, START, StateGraph  # type: ignore[import-not-found, unused-ignore]

    connection = sqlite3.connect(str(folder / "langgraph.sqlite"), check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()
    graph: Any = StateGraph(State)
    names = [f"s{number}" for number in range(STEPS)]
    for name in names:
        graph.add_node(name, lambda state: {"count": state["count"] + 1})
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    compiled = graph.compile(checkpointer=saver)

    def workflow(name: str) -> None:
        config = {"configurable": {"thread_id": name}}
        compiled.invoke({"count": 0}, config, durability="sync")

    pragmas = ("journal_mode", "synchronous")
    return workflow, {each: connection.execute(f"pragma {each}").fetchone()[0] for each in pragmas}


def timed(workflow: Workflow, count: int, clients: int, name: str) -> dict[str, Any]:
    """Run `count` workflows by so many threads."""
    took: list[float] = []
    todo, lock = iter(range(count)), threading.Lock()

    def client() -> None:
        while True:
            with lock:
                number = next(todo, None)
            if number is None:
                return
            began = time.perf_counter()
            workflow(f"{name}-{number}")
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"each_s": took, "all_s": time.perf_counter() - began}


def main(kind: str, folder: str) -> None:
    """Answer line by line until there are no more."""
    out = sys.stdout
    sys.stdout = sys.stderr
    workflow, settings = {"dbos": dbos, "langgraph": langgraph}[kind](Path(folder))
    workflow("first")
    out.write(json.dumps(settings) + "\n")
    out.flush()
    for number, line in enumerate(sys.stdin):
        asked = json.loads(line)
        out.write(
            json.dumps(timed(workflow, asked["count"], asked["clients"], f"w{number}")) + "\n"
        )
        out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
    import os

    os._exit(0)  # their threads need not end
