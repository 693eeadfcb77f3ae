"""Faults by rate and by script: how they are asked for, which calls they strike, and how."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinovi_async import ConfigurationError
from kinovi_async._requests import FailureGroup, advice
from kinovi_async.simulator import (
    Answer,
    Fault,
    Faults,
    PollRule,
    SimulatedHangup,
    Simulator,
    SubmitRule,
    TaskRule,
    parse_faults,
)
from kinovi_async.simulator._checks import Order, check_body
from kinovi_async.simulator._fates import failures
from kinovi_async.simulator._faults import POLL_FAULTS, SUBMIT_FAULTS
from tests.requests.bodies import CASES, Case
from tests.simulator.calls import Clock, banana, caller, seedance


def test_faults_are_parsed_from_pairs() -> None:
    text = " lost-answer=0.05, error-500=10%,slow_seconds=2.5 ,"
    assert parse_faults(text) == Faults(lost_answer=0.05, error_500=0.1, slow_seconds=2.5)
    assert parse_faults("") == Faults()


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_can_be_asked_for_by_its_name(fault: Fault) -> None:
    assert parse_faults(f"{fault}=0.25").rate(fault) == 0.25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lost=0.1", "unknown fault 'lost'; known are before-acceptance-drop, error-500"),
        ("slow", "slow needs a number: slow=0.05"),
        ("slow=", "slow needs a number"),
        ("slow=much", "slow needs a number, not 'much'"),
        ("slow=nan", "slow needs a number, not 'nan'"),
        ("slow=1.5", "slow is a share from 0 to 1, not 1.5"),
        ("slow=-1", "slow is a share from 0 to 1, not -1"),
        ("slow=101%", "slow is a share from 0 to 1"),
        ("slow=0.1,slow=0.2", "slow is given two times"),
        ("slow=0.6,reset=0.5", "add up to 1.1, at most 1 is possible"),
        ("slow-seconds=-1", "slow-seconds is a number of seconds, not -1"),
        ("slow-seconds=inf", "slow-seconds is a number of seconds, not inf"),
    ],
)
def test_a_wrong_text_is_refused_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse_faults(text)


@given(st.text())
def test_any_text_is_faults_or_a_configuration_error(text: str) -> None:
    try:
        found = parse_faults(text)
    except ConfigurationError:
        return
    assert isinstance(found, Faults)


def test_ten_rates_of_a_tenth_may_add_up_to_one() -> None:
    rates = {fault.replace("-", "_"): 1 / len(SUBMIT_FAULTS) for fault in SUBMIT_FAULTS}
    assert Faults(**rates).pick(SUBMIT_FAULTS, 0.999) is SUBMIT_FAULTS[-1]


def test_a_rate_is_the_share_of_rolls_it_takes() -> None:
    faults = Faults(error_500=0.25, slow=0.5)
    picked = [faults.pick(SUBMIT_FAULTS, place / 100) for place in range(100)]
    assert picked.count(Fault.ERROR_500) == 25
    assert picked.count(Fault.SLOW) == 50
    assert picked.count(None) == 25
    assert faults.pick(POLL_FAULTS, 0.0) is None


async def test_rates_strike_their_share_of_submissions_and_the_same_ones_each_time() -> None:
    async def struck(seed: int) -> list[int]:
        simulator = Simulator(seed=seed, limit=1000, faults=Faults(error_500=0.3))
        async with caller(simulator) as client:
            return [(await client.create(banana(f"{n}"))).status_code for n in range(200)]

    first = await struck(1)
    assert 40 <= first.count(500) <= 80
    assert await struck(1) == first
    assert await struck(2) != first


async def test_a_refused_call_is_refused_properly_whatever_the_rates() -> None:
    simulator = Simulator(limit=0, faults=Faults(error_500=1))
    async with caller(simulator) as client:
        assert (await client.create(banana())).status_code == 429
        assert (await client.create({})).status_code == 400
    assert simulator.books.faults == {}


@pytest.mark.parametrize(
    ("name", "status", "accepted"),
    [
        ("error-500", 500, 0),
        ("error-500-accepted", 500, 1),
        ("html-502", 502, 0),
        ("html-502-accepted", 502, 1),
    ],
)
async def test_an_error_answer_comes_with_or_without_an_acceptance(
    name: str, status: int, accepted: int
) -> None:
    simulator = Simulator(faults=parse_faults(f"{name}=1"))
    async with caller(simulator) as client:
        answer = await client.create(banana())
    assert answer.status_code == status
    if status == 502:
        assert answer.headers["content-type"].startswith("text/html")
    else:
        assert set(answer.json()) == {"message"}
    assert [task.submission for task in simulator.books.accepted] == [name] * accepted
    assert simulator.books.faults == {name: 1}


async def test_in_process_a_truncated_answer_is_short() -> None:
    simulator = Simulator(faults=Faults(truncated=1))
    async with caller(simulator) as client:
        answer = await client.create(banana())
    (task,) = simulator.books.accepted
    assert answer.status_code == 200
    assert 0 < len(answer.content) < int(answer.headers["content-length"])
    assert f'{{"taskId":"{task.task_id}"}}'.encode().startswith(answer.content)


@pytest.mark.parametrize(
    ("name", "accepted"), [("lost-answer", 1), ("reset", 1), ("before-acceptance-drop", 0)]
)
async def test_in_process_a_hangup_is_raised_out_of_the_call(name: str, accepted: int) -> None:
    simulator = Simulator(faults=parse_faults(f"{name}=1"))
    async with caller(simulator) as client:
        with pytest.raises(SimulatedHangup):
            await client.create(banana())
    assert len(simulator.books.accepted) == accepted


async def test_a_slow_answer_is_a_right_answer() -> None:
    simulator = Simulator(faults=Faults(slow=1, slow_poll=1, slow_seconds=0.01))
    async with caller(simulator) as client:
        assert (await client.record(await client.created(banana())))["status"] == "waiting"
    assert simulator.books.faults == {"slow": 1, "slow-poll": 1}


@pytest.mark.parametrize(
    ("name", "status"), [("poll-error", 503), ("poll-html", 502), ("poll-missing", 404)]
)
async def test_a_struck_poll_does_not_show_the_end_and_changes_nothing(
    name: str, status: int, clock: Clock
) -> None:
    simulator = Simulator(clock=clock)
    simulator.script(PollRule(answer=name))
    async with caller(simulator) as client:
        task_id = await client.created(banana())
        clock.advance(100)
        assert (await client.info(task_id)).status_code == status
        assert simulator.books.accepted[0].seen_at is None
        assert (await client.record(task_id))["status"] == "success"
    assert simulator.books.accepted[0].seen_at == 1100


async def test_tasks_fail_by_rate(clock: Clock) -> None:
    simulator = Simulator(clock=clock, limit=100, faults=Faults(fail=0.5))
    async with caller(simulator) as client:
        bodies = [banana(f"{n}") for n in range(20)] + [seedance(f"{n}") for n in range(20)]
        ids = [await client.created(body) for body in bodies]
        clock.advance(1000)
        records = [await client.record(task_id) for task_id in ids]
    failed = [record["error"] for record in records if record["status"] == "fail"]
    assert 10 <= len(failed) <= 30
    assert simulator.books.faults == {"fail": len(failed)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_task_fails_as_the_page_of_its_model_says(case: Case) -> None:
    order = check_body(case.body, generation=case.generation)
    assert isinstance(order, Order)
    told = {(each.code, advice(each.code, each.message)) for each in failures(order)}
    known = {
        (each.code, each.advice)
        for each in case.model.failures
        if order.referring or each.group not in OF_REFERENCES
    }
    assert order.referring == any("rl" in name for name in case.body["inputs"])
    assert told == (known or {(code, advice(code, "temporarily unavailable")) for code in ANY})


OF_REFERENCES = {FailureGroup.MEDIA, FailureGroup.REFERENCE, FailureGroup.LIMITS}
ANY = ("2038", "500")


async def test_the_nth_call_gets_the_scripted_answer() -> None:
    simulator = Simulator(limit=7)
    page = Answer.html(503, "<h1>maintenance</h1>")
    busy = Answer.json(429, {"message": "Too many requests"}, {"Retry-After": "2"})
    simulator.script(
        SubmitRule(answer=429, nth=2),
        SubmitRule(answer=500, nth=3),
        SubmitRule(answer=page, nth=4),
        SubmitRule(answer=busy, nth=5),
        SubmitRule(answer="error-500-accepted", nth=6),
    )
    async with caller(simulator) as client:
        answers = [await client.create(banana(f"{n}")) for n in range(1, 8)]
    assert [answer.status_code for answer in answers] == [200, 429, 500, 503, 429, 500, 200]
    assert (answers[1].json()["limit"], answers[1].json()["current"]) == (7, 1)
    assert answers[3].text == "<h1>maintenance</h1>"
    assert answers[4].headers["retry-after"] == "2"
    assert [task.prompt for task in simulator.books.accepted] == ["1", "6", "7"]
    assert simulator.books.faults == {"429": 2, "500": 1, "503": 1, "error-500-accepted": 1}
    assert simulator.books.refused == {}


async def test_a_rule_may_wait_for_a_prompt_and_apply_several_times() -> None:
    simulator = Simulator(limit=100)
    simulator.script(SubmitRule(answer=402, prompt="cat", times=2))
    async with caller(simulator) as client:
        prompts = ["dog", "a cat", "two cats", "three cats"]
        statuses = [(await client.create(banana(prompt))).status_code for prompt in prompts]
    assert statuses == [200, 402, 402, 200]


async def test_a_rule_that_includes_an_acceptance_is_not_spent_on_a_refused_call() -> None:
    simulator = Simulator(limit=0)
    simulator.script(SubmitRule(answer="html-502-accepted", prompt="cat"))
    async with caller(simulator) as client:
        assert (await client.create(banana("cat"))).status_code == 429
        simulator.set_limit(1)
        assert (await client.create(banana("cat"))).status_code == 502
    assert len(simulator.books.accepted) == 1


async def test_a_scripted_task_fails_takes_a_time_or_never_ends(clock: Clock) -> None:
    simulator = Simulator(clock=clock, speed=10, faults=Faults(fail=1))
    simulator.script(
        TaskRule(prompt="bad", code="banned_prompt_words", message="a banned word"),
        TaskRule(prompt="quick", seconds=1),
        TaskRule(nth=3, stuck=True),
    )
    async with caller(simulator) as client:
        ids = [await client.created(banana(prompt)) for prompt in ("bad", "quick", "slow")]
        clock.advance(0.1)
        assert (await client.record(ids[1]))["status"] == "success"
        clock.advance(10**6)
        bad, _, stuck = [await client.record(task_id) for task_id in ids]
    assert bad["error"] == {"code": "banned_prompt_words", "message": "a banned word"}
    assert stuck["status"] == "generating"


async def test_the_nth_poll_of_a_task_gets_the_scripted_answer() -> None:
    simulator = Simulator()
    simulator.script(PollRule(answer=503, nth=2, prompt="cat", times=None))
    async with caller(simulator) as client:
        cat, dog = await client.created(banana("cat")), await client.created(banana("dog"))
        assert [(await client.info(cat)).status_code for _ in range(3)] == [200, 503, 200]
        assert [(await client.info(dog)).status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SubmitRule(answer="poll-error"),
        lambda: PollRule(answer="lost-answer"),
        lambda: SubmitRule(answer=99),
        lambda: SubmitRule(answer=429, nth=0),
        lambda: SubmitRule(answer=429, times=0),
        lambda: TaskRule(seconds=-1),
    ],
)
def test_a_rule_that_can_never_apply_is_refused(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(ConfigurationError):
        wrong()
