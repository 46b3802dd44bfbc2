"""The arithmetic of the benchmarks, and their floor."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
import trio

from bench.durable import (
    Floor,
    MeteredJournal,
    NotDurableError,
    check_durable,
    regrouped,
    syncs_counted,
)
from bench.front_client import message_of
from bench.measure import PROFILES, Limit, Workplace, ones, p99, row, spending
from bench.table import lines_of, number
from bench.workload import chain, open_measured


def test_a_ratio_is_taken_within_a_round() -> None:
    found = row("a", "ms", [[10.0], [1.0]], floor=[[5.0], [0.5]], floor_is="b")
    assert found.ratio == 2.0
    assert (found.lowest, found.median, found.highest) == (1.0, 5.5, 10.0)


def test_a_limit_is_of_the_figure_or_of_its_ratio() -> None:
    rounds, floor = ones([10.0]), ones([5.0])
    assert row("a", "ms", rounds, floor=floor, must=Limit(2, of_floor=True)).met is True
    assert row("a", "ms", rounds, floor=floor, must=Limit(1.9, of_floor=True)).met is False
    assert row("a", "/s", rounds, must=Limit(10, most=False)).met is True
    assert row("a", "/s", rounds, must=Limit(11, most=False)).met is False
    assert row("a", "ms", rounds).met is None


def test_a_99th_percentile_needs_a_hundred_samples() -> None:
    assert p99([1.0] * 99) is None
    assert p99([float(n) for n in range(1_000)]) == 990.0


def test_rounds_end_with_the_budget_but_not_before_two(tmp_path: Path) -> None:
    assert list(Workplace(PROFILES["quick"], tmp_path).rounds(budget_s=0.0)) == [0, 1]
    assert list(Workplace(PROFILES["quick"], tmp_path).rounds(budget_s=1e9)) == [0, 1, 2, 3, 4]


def test_what_is_spent_adds_up() -> None:
    with spending() as spent:
        sum(range(100_000))
    first = spent.cpu_s
    with spending(spent):
        sum(range(100_000))
    assert 0 < first < spent.cpu_s
    assert spent.wall_s > 0


def test_groups_keep_every_value_in_order() -> None:
    groups = [[b"1", b"2"], [b"3"], [b"4", b"5", b"6"]]
    assert regrouped(groups, 2) == [[b"1", b"2", b"3"], [b"4", b"5", b"6"]]
    assert regrouped(groups, 6) == [[b"1"], [b"2"], [b"3"], [b"4"], [b"5"], [b"6"]]


@pytest.mark.parametrize("flags", [{"sync": False}, {"metasync": False}])
def test_an_environment_without_sync_is_refused(tmp_path: Path, flags: dict[str, bool]) -> None:
    with lmdb.open(str(tmp_path / "env"), **flags) as env, pytest.raises(NotDurableError):
        check_durable(env)


async def test_the_floor_writes_the_bytes_that_the_journal_has_written(tmp_path: Path) -> None:
    async with open_measured(tmp_path / "data") as measured:
        await measured.runtime.define("two", chain(2, "bench.effect"))
        end, commits = measured.end(), measured.journal.commits()
        with trio.fail_after(30):
            assert len(await measured.at_once("two", 3, clients=2, most_s=30)) == 3
        groups = measured.groups_since(end)
        assert len(groups) == measured.journal.commits() - commits
        assert sum(map(len, groups)) == measured.end() - end
    floor = Floor(tmp_path / "floor")
    assert floor.timed_s(groups) > 0
    floor.close()
    with lmdb.open(str(tmp_path / "floor"), max_dbs=1) as env, env.begin() as txn:
        table = env.open_db(b"records", txn=txn, create=False)
        written = [value for _, value in txn.cursor(db=table)]
    assert written == [value for group in groups for value in group]


def test_a_metered_journal_refuses_to_be_without_sync(tmp_path: Path) -> None:
    with (
        lmdb.open(str(tmp_path / "env"), sync=False, max_dbs=32) as env,
        pytest.raises(NotDurableError),
    ):
        MeteredJournal.over(env)


def test_syncs_are_counted_or_it_is_said_that_they_are_not(tmp_path: Path) -> None:
    said = syncs_counted(tmp_path)
    assert " commits of 20 workflows" in said or said.startswith("not counted")


def test_the_message_of_a_response_is_found_in_a_body_and_in_a_stream() -> None:
    assert message_of(b'{"id": 1}') == {"id": 1}
    assert message_of(b'event: message\r\ndata: {"id": 2}\r\n\r\n') == {"id": 2}
    assert message_of(b": ping\r\n\r\n") is None


def test_the_table_shows_what_was_missed() -> None:
    from bench.measure import Report

    report = Report([row("slow", "ms", [[12.345]], must=Limit(1))], ["a note"])
    lines = lines_of("some", report, 1.0, ["it broke"])
    assert "NO" in lines[3]
    assert "12.3" in lines[3]
    assert lines[-2:] == ["note: a note", "PROBLEM: it broke"]
    assert [number(value) for value in (1234.5, 12.34, 1.234, 0.1234)] == [
        *("1,234", "12.3", "1.23", "0.123")
    ]
