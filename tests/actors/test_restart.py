"""The restart decision: tables and edges of a pure function."""

from __future__ import annotations

import pytest

from actors import (
    ActorCancelled,
    BackOff,
    ChildSpec,
    ExitKind,
    Intensity,
    RestartAction,
    RestartType,
    SupervisorPolicy,
    TrioActor,
    affected_children,
    decide_restart,
    exit_kind,
)

INTENSITY = Intensity(restarts_max=2, within_s=10)
BACK_OFF = BackOff(initial_s=1, factor=3, delay_s_max=20)


@pytest.mark.parametrize(
    ("restart", "kind", "action"),
    [
        ("permanent", "normal", "restart"),
        ("permanent", "failure", "restart"),
        ("permanent", "cancelled", "remove"),
        ("transient", "normal", "remove"),
        ("transient", "failure", "restart"),
        ("transient", "cancelled", "remove"),
        ("temporary", "normal", "remove"),
        ("temporary", "failure", "remove"),
        ("temporary", "cancelled", "remove"),
    ],
)
def test_each_restart_type_meets_each_kind_of_exit_as_the_table_says(
    restart: RestartType, kind: ExitKind, action: RestartAction
) -> None:
    decision = decide_restart(restart, kind, (), 0.0, intensity=INTENSITY, back_off=BACK_OFF)
    assert decision.action == action


def test_an_exit_reason_is_normal_a_cancellation_or_a_failure() -> None:
    assert exit_kind(None) == "normal"
    assert exit_kind(ActorCancelled()) == "cancelled"
    assert exit_kind(ValueError()) == "failure"


def test_one_restart_more_than_the_intensity_allows_is_too_many() -> None:
    past: tuple[float, ...] = ()
    actions = []
    for now in (0.0, 1.0, 2.0):
        decision = decide_restart(
            "permanent", "failure", past, now, intensity=INTENSITY, back_off=BACK_OFF
        )
        past = decision.past
        actions.append(decision.action)
    assert actions == ["restart", "restart", "give_up"]


def test_restarts_older_than_the_window_do_not_count() -> None:
    for now, action in ((10.0, "give_up"), (10.1, "restart")):
        decision = decide_restart(
            "permanent", "failure", (0.0, 5.0), now, intensity=INTENSITY, back_off=BACK_OFF
        )
        assert decision.action == action
    assert decision.past == (5.0, 10.1)


def test_no_restart_allowed_means_the_first_failure_is_too_many() -> None:
    decision = decide_restart(
        "permanent", "failure", (), 0.0, intensity=Intensity(0, 1), back_off=BACK_OFF
    )
    assert decision.action == "give_up"


def test_the_delay_grows_by_its_factor_up_to_its_limit() -> None:
    assert [BACK_OFF.delay_s(n) for n in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]
    assert BACK_OFF.delay_s(10**6) == 20
    assert BackOff(initial_s=1, factor=1).delay_s(10**6) == 1


def test_jitter_is_the_injected_functions_choice_and_never_negative() -> None:
    assert BackOff(jitter=lambda delay_s: delay_s / 2).jittered(3) == 1.5
    assert BackOff(jitter=lambda delay_s: -1).jittered(3) == 0
    assert BackOff().jittered(3) == 3


def test_each_strategy_restarts_the_set_it_is_named_after() -> None:
    assert affected_children("one_for_one", "abcd", "b") == ("b",)
    assert affected_children("one_for_all", "abcd", "b") == ("a", "b", "c", "d")
    assert affected_children("rest_for_one", "abcd", "b") == ("b", "c", "d")


def test_nonsense_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="restarts_max"):
        Intensity(restarts_max=-1)
    with pytest.raises(ValueError, match="within_s"):
        Intensity(within_s=0)
    with pytest.raises(ValueError, match="factor"):
        BackOff(factor=0.5)
    with pytest.raises(ValueError, match="one_for_one, one_for_all, rest_for_one, not 'all'"):
        SupervisorPolicy(strategy="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="restart of child 'x' must be one of permanent"):
        ChildSpec("x", TrioActor, restart="always")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shutdown_s of child 'x'"):
        ChildSpec("x", TrioActor, shutdown_s=-1)
