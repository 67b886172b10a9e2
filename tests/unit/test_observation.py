"""What was heard on each path, and in which rounds, becomes evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.pairs import Pair
from denodo_ha.situation import is_fresh
from denodo_ha.verdict import Answer, Evidence, Observation, Reply, Verdict, Watch, verdict

UP, FAILED, NO_ANSWER, MISCONFIGURED, NOT_ASKED = Answer
START = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALL = list(product(Answer, repeat=3))

EXAMPLES = {
    Verdict.UP: (UP, NOT_ASKED, NOT_ASKED),
    Verdict.CONTROL_PATH_BROKEN: (NO_ANSWER, UP, UP),
    Verdict.DOWN: (FAILED, FAILED, UP),
    Verdict.UNKNOWN: (FAILED, NOT_ASKED, UP),
    Verdict.MISCONFIGURED: (MISCONFIGURED, FAILED, UP),
    Verdict.ISOLATED: (NO_ANSWER, NO_ANSWER, NO_ANSWER),
}


def having(wanted: Verdict) -> set[tuple[Answer, Answer, Answer]]:
    return {answers for answers in ALL if verdict(*answers) is wanted}


def test_the_table_is_complete_and_each_verdict_has_an_example() -> None:
    assert len(ALL) == 125
    assert sum(len(having(each)) for each in Verdict) == 125
    assert {each: verdict(*answers) for each, answers in EXAMPLES.items()} == {each: each for each in Verdict}


def test_up_is_what_path_1_proves_and_nothing_else() -> None:
    assert having(Verdict.UP) == {answers for answers in ALL if answers[0] is UP}


def test_a_master_that_path_2_hears_is_alive_whatever_the_slave_says() -> None:
    others = {FAILED, NO_ANSWER, NOT_ASKED, MISCONFIGURED}
    assert having(Verdict.CONTROL_PATH_BROKEN) == {(first, UP, slave) for first in others for slave in Answer}


def test_down_takes_silence_on_both_paths_and_a_working_slave() -> None:
    assert having(Verdict.DOWN) == {
        (FAILED, FAILED, UP),
        (FAILED, NO_ANSWER, UP),
        (NO_ANSWER, FAILED, UP),
        (NO_ANSWER, NO_ANSWER, UP),
    }


def test_what_is_misconfigured_on_path_1_never_counts_as_down() -> None:
    assert having(Verdict.MISCONFIGURED) == {
        answers for answers in ALL if answers[0] is MISCONFIGURED and answers[1] is not UP
    }


def test_isolated_is_when_no_web_tool_answers() -> None:
    others = {FAILED, NO_ANSWER, MISCONFIGURED, NOT_ASKED}
    assert having(Verdict.ISOLATED) == {(NO_ANSWER, second, NO_ANSWER) for second in others}


def test_unknown_is_the_rest() -> None:
    rest = set(ALL).difference(*(having(each) for each in Verdict if each is not Verdict.UNKNOWN))
    assert having(Verdict.UNKNOWN) == rest
    assert all(second is not UP and first not in (UP, MISCONFIGURED) for first, second, _ in rest)
    assert (NO_ANSWER, MISCONFIGURED, UP) in rest


def round_of(wanted: Verdict, number: int = 0) -> Observation:
    master, second, slave = EXAMPLES[wanted]
    return Observation(at=START + timedelta(seconds=10 * number), master=master, second=second, slave=slave)


def rounds(*wanted: Verdict) -> list[Observation]:
    return [round_of(each, number) for number, each in enumerate(wanted)]


GAP = timedelta(seconds=45)
STEPS = st.sampled_from([10, 10, 10, 0, 1, 44, 45, 46, 60, 61, 75, 111, 3600, 10_800, -1, -60, -300, -301, -10_800])
STEPS |= st.integers(-100_000, 100_000)
"""Seconds by the clock from one round to the next."""


class TestWatch:
    def test_up_is_confirmed_at_once(self) -> None:
        evidence = Watch(fall=3).add(round_of(Verdict.UP))
        assert evidence is not None
        assert (evidence.verdict, evidence.streak, evidence.rounds) == (Verdict.UP, 1, 1)
        assert evidence.since == evidence.decided == evidence.last_alive == START

    @pytest.mark.parametrize("wanted", [each for each in Verdict if each is not Verdict.UP])
    @pytest.mark.parametrize("fall", [1, 2, 3, 5])
    def test_any_other_takes_fall_rounds_in_a_row(self, wanted: Verdict, fall: int) -> None:
        watch = Watch(fall)
        found = [watch.add(each) for each in rounds(*[wanted] * (fall + 1))]
        assert found[: fall - 1] == [None] * (fall - 1)
        assert [each.streak for each in found[fall - 1 :] if each] == [fall, fall + 1]

    @pytest.mark.parametrize("between", [each for each in Verdict if each is not Verdict.DOWN])
    def test_a_round_of_another_kind_begins_the_count_anew(self, between: Verdict) -> None:
        watch = Watch(3)
        down = Verdict.DOWN
        found = [watch.add(each) for each in rounds(down, down, between, down, down, down)]
        assert found[3:5] == [None, None]
        assert found[5] is not None
        assert found[5].streak == 3
        assert found[5].since == START + timedelta(seconds=30)

    @pytest.mark.parametrize("pause", [timedelta(hours=3), timedelta(seconds=61), timedelta(seconds=-1)])
    def test_what_was_seen_before_a_gap_does_not_count(self, pause: timedelta) -> None:
        """This process has slept, or its clock was set back."""
        watch = Watch(3, gap=timedelta(minutes=1))
        seen = rounds(*[Verdict.DOWN] * 2)
        later = [replace(each, at=each.at + pause + timedelta(seconds=10)) for each in rounds(*[Verdict.DOWN] * 3)]
        found = [watch.add(each) for each in (*seen, *later)]
        assert found[:4] == [None] * 4
        assert found[4] is not None
        assert (found[4].streak, found[4].since) == (3, later[0].at)

    def test_a_pause_within_the_limit_is_no_gap(self) -> None:
        watch = Watch(2, gap=timedelta(minutes=1))
        first, second = rounds(Verdict.DOWN, Verdict.DOWN)
        assert watch.add(first) is None
        assert watch.add(replace(second, at=first.at + timedelta(minutes=1)))

    def test_the_master_was_last_heard_on_either_path(self) -> None:
        watch = Watch(2)
        for each in rounds(Verdict.UP, Verdict.CONTROL_PATH_BROKEN, Verdict.DOWN):
            watch.add(each)
        evidence = watch.add(round_of(Verdict.DOWN, 3))
        assert evidence is not None
        assert evidence.last_alive == START + timedelta(seconds=10)
        assert evidence.rounds == 4

    def test_a_master_never_heard(self) -> None:
        evidence = Watch(1).add(round_of(Verdict.DOWN))
        assert evidence is not None
        assert evidence.last_alive is None

    def test_only_the_last_rounds_are_kept(self) -> None:
        watch = Watch(1, keep=2)
        *_, evidence = [watch.add(each) for each in rounds(*[Verdict.UP] * 5)]
        assert evidence is not None
        assert evidence.rounds == 5
        assert [each.at for each in evidence.latest] == [START + timedelta(seconds=30), START + timedelta(seconds=40)]

    @given(st.lists(st.sampled_from(list(Verdict)), min_size=1, max_size=30), st.integers(1, 5))
    def test_confirmed_is_up_or_a_row_of_fall(self, sequence: list[Verdict], fall: int) -> None:
        watch = Watch(fall)
        for number, each in enumerate(sequence):
            evidence = watch.add(round_of(each, number))
            row = sequence[max(0, number - fall + 1) : number + 1]
            assert (evidence is not None) == (each is Verdict.UP or row == [each] * fall)
            assert evidence is None or evidence.verdict is each

    @given(
        st.lists(st.tuples(st.sampled_from([Verdict.DOWN, Verdict.DOWN, Verdict.DOWN, *Verdict]), STEPS), max_size=30),
        st.integers(1, 5),
        STEPS,
    )
    def test_a_failover_takes_a_row_without_a_gap_and_neither_old_nor_of_the_future(
        self, sequence: list[tuple[Verdict, int]], fall: int, passed: int
    ) -> None:
        """However the process sleeps, and however its clock is set."""
        pair = Pair(name="p", watch={"fall": fall, "probe_interval": "10s"})
        watch, at, seen = Watch(fall, gap=GAP), START, list[tuple[Verdict, bool]]()
        for each, seconds in sequence:
            at += timedelta(seconds=seconds)
            seen.append((each, 0 <= seconds <= GAP.total_seconds()))
            evidence = watch.add(replace(round_of(each), at=at))
            row = seen[-fall:]
            without_gap = [follows for _, follows in row[1:]]
            confirmed = len(row) == fall and {each for each, _ in row} == {Verdict.DOWN} and all(without_gap)
            assert (evidence is not None and evidence.verdict is Verdict.DOWN) is confirmed
            if evidence:
                assert evidence.decided == at
                now = at + timedelta(seconds=passed)
                assert is_fresh(evidence.decided, pair, now) is (-300 <= passed <= 10 * fall + 60)


def test_evidence_travels_as_json_without_its_rounds() -> None:
    watch = Watch(1)
    watch.add(round_of(Verdict.UP))
    evidence = watch.add(
        Observation(START, FAILED, FAILED, UP, seconds={"master": 0.1}, details={"master": "500", "second": "500"})
    )
    assert evidence is not None
    stored = json.loads(json.dumps(evidence.to_json()))
    again = Evidence.from_json(stored)
    assert again == Evidence(
        verdict=Verdict.DOWN, decided=START, streak=1, since=START, last_alive=START, rounds=2, latest=()
    )
    assert stored["latest"][1]["details"] == {"master": "500", "second": "500"}
    assert str(evidence.latest[1]) == "down (master: 500; second: 500)"


@pytest.mark.parametrize(
    ("ping", "second", "verdict"),
    [(UP, UP, Verdict.CONTROL_PATH_BROKEN), (NOT_ASKED, NO_ANSWER, Verdict.DOWN)],
)
def test_a_ping_that_hears_the_master_is_an_answer_on_path_2(ping: Answer, second: Answer, verdict: Verdict) -> None:
    silent, up = Reply(NO_ANSWER, 0.3, "no answer"), Reply(UP, 0.1)
    seen = Observation.of(START, {"master": silent, "second": silent, "slave": up}, {"master": Reply(ping, 1, "ping")})
    assert (seen.second, seen.verdict) == (second, verdict)
    assert seen.details == {"master": "no answer; ping", "second": "no answer"}
    assert seen.seconds == {"master": 0.3, "second": 0.3, "slave": 0.1}
