"""The user's policy, through the client, by the simulator's books."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from kinovi_async import (
    AmbiguousSubmissionError,
    AsyncKinovi,
    AttemptResult,
    ConfigurationError,
    JobScheduler,
    NanoBanana2,
    OutcomeStatus,
    Phase,
    ServerError,
    SQLiteLedger,
    SubmitEvidence,
    SubmitPolicy,
    Verdict,
)
from kinovi_async.simulator import Answer, SubmitRule

from .conftest import KEY, Api

A = AttemptResult
CAT = NanoBanana2(prompt="a red cat")
ONCE_MORE = SubmitPolicy(ambiguous="resubmit", max_resubmits=1)
CLOUDFLARE = {"server": "cloudflare", "cf-ray": "8f2b-FRA", "content-type": "text/html"}


def cats(count: int) -> list[NanoBanana2]:
    return [NanoBanana2(prompt=f"cat {n}") for n in range(count)]


def cdn_page(status: int = 521) -> Answer:
    return Answer(status, b"<html>Web server is down</html>", CLOUDFLARE)


LOST = ["lost-answer", "reset", "truncated", "html-502-accepted"]
NEVER = ["before-acceptance-drop", "html-502"]


@pytest.mark.parametrize("fault", LOST + NEVER)
async def test_by_default_nothing_unclear_is_sent_again(api: Api, fault: str) -> None:
    api.simulator.script(SubmitRule(answer=fault, prompt="cat 1"))
    async with api.client() as client:
        outcomes = await client.run_batch(cats(3))
    assert [outcome.status for outcome in outcomes] == [
        OutcomeStatus.SUCCEEDED, OutcomeStatus.AMBIGUOUS, OutcomeStatus.SUCCEEDED,
    ]  # fmt: skip
    assert len(api.simulator.books.accepted) == (3 if fault in LOST else 2)


@pytest.mark.parametrize(("fault", "paid"), [*((f, 2) for f in LOST), *((f, 1) for f in NEVER)])
async def test_resubmit_pays_again_at_most_as_often_as_it_says(
    api: Api, fault: str, paid: int
) -> None:
    """The books show what it costs: a lost answer is paid twice, a lost request once."""
    api.simulator.script(SubmitRule(answer=fault))
    async with api.client(submit_policy=ONCE_MORE) as client:
        (outcome,) = await client.run_batch([CAT])
    assert outcome.ok
    assert [attempt.result for attempt in outcome.attempts] == [A.AMBIGUOUS, A.ACCEPTED]
    assert outcome.attempts[0].detail
    assert api.simulator.books.accepted_per_prompt() == {"a red cat": paid}


async def test_the_worst_case_is_in_the_ledger(api: Api, tmp_path: Path) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer", times=None))
    path = tmp_path / "jobs.sqlite3"
    async with api.client(submit_policy=ONCE_MORE, ledger=path) as client:
        (outcome,) = await client.run_batch([("cat-1", CAT)])
        assert outcome.status is OutcomeStatus.AMBIGUOUS
        with pytest.raises(AmbiguousSubmissionError):
            outcome.result()
    ledger = SQLiteLedger(path)
    await ledger.open()
    totals = await ledger.totals()
    await ledger.aclose()
    assert totals.committed == api.simulator.books.charged == Decimal(30)


async def test_another_process_does_not_start_the_count_anew(api: Api, tmp_path: Path) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer", times=None))
    for _ in range(3):
        async with api.client(submit_policy=ONCE_MORE, ledger=tmp_path / "jobs") as client:
            (outcome,) = await client.run_batch([("cat-1", CAT)])
            assert outcome.status is OutcomeStatus.AMBIGUOUS
    assert len(api.simulator.books.accepted) == 2


async def test_a_budget_counts_what_an_unclear_attempt_may_have_cost(api: Api) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer", prompt="cat 0"))
    async with api.client(submit_policy=ONCE_MORE) as client:
        outcomes = await client.run_batch(cats(3), budget=45)
    assert api.simulator.books.charged <= 45
    assert [outcome.status for outcome in outcomes].count(OutcomeStatus.CANCELLED) == 1


async def test_the_cdns_own_page_is_sent_again_when_asked_for(api: Api) -> None:
    api.simulator.script(SubmitRule(answer=cdn_page(), times=7))
    async with api.client() as client:
        (held,) = await client.run_batch([CAT])
    assert held.status is OutcomeStatus.AMBIGUOUS
    policy = SubmitPolicy(cdn_not_reached="retry")
    async with api.client(submit_policy=policy) as client:
        (outcome,) = await client.run_batch([CAT])
    assert outcome.ok
    assert [a.result for a in outcome.attempts] == [A.NOT_SENT] * 6 + [A.ACCEPTED]
    assert len(api.simulator.books.accepted) == 1


async def test_classify_sees_the_evidence_without_the_key_and_decides(api: Api) -> None:
    seen: list[SubmitEvidence] = []

    def classify(evidence: SubmitEvidence) -> Verdict | None:
        seen.append(evidence)
        if evidence.status == 503 and b"maintenance" in evidence.body:
            return Verdict.NOT_SENT if evidence.attempt < 3 else Verdict.REJECTED
        return None

    body = b"<html>maintenance; you sent Bearer " + KEY.encode()
    answer = Answer(503, body, {"x-echo": KEY, "set-cookie": "a=b"})
    api.simulator.script(SubmitRule(answer=answer, times=3))
    async with api.client(submit_policy=SubmitPolicy(classify=classify)) as client:
        (outcome,) = await client.run_batch([CAT])
    assert outcome.status is OutcomeStatus.REJECTED
    assert [a.result for a in outcome.attempts] == [A.NOT_SENT, A.NOT_SENT, A.REJECTED]
    assert isinstance(outcome.error, ServerError)
    assert [evidence.attempt for evidence in seen] == [1, 2, 3]
    assert all(evidence.phase is Phase.UNKNOWN for evidence in seen)  # in process: no events
    assert all(evidence.connection_reused is None for evidence in seen)
    assert KEY not in repr(seen)
    assert KEY not in repr(outcome)
    assert "set-cookie" not in seen[0].headers


def raises(_evidence: SubmitEvidence) -> Verdict | None:
    raise RuntimeError("a mistake of the user's")


@pytest.mark.parametrize(
    ("classify", "expected"),
    [
        (lambda _: Verdict.REJECTED, OutcomeStatus.REJECTED),
        (lambda _: Verdict.AMBIGUOUS, OutcomeStatus.AMBIGUOUS),
        (lambda _: None, OutcomeStatus.SUCCEEDED),
        (raises, OutcomeStatus.AMBIGUOUS),
    ],
    ids=["rejected", "ambiguous", "none", "raises"],
)
async def test_classify_has_the_last_word_on_the_documented_500(
    api: Api,
    classify: Callable[[SubmitEvidence], Verdict | None],
    expected: OutcomeStatus,
) -> None:
    api.simulator.script(SubmitRule(answer="error-500"))
    async with api.client(submit_policy=SubmitPolicy(classify=classify)) as client:
        (outcome,) = await client.run_batch([CAT])
    assert outcome.status is expected


async def test_single_submissions_follow_the_policy_too(api: Api) -> None:
    api.simulator.set_limit(9)
    api.simulator.script(SubmitRule(answer="lost-answer", times=3))
    async with api.client() as client:
        with pytest.raises(AmbiguousSubmissionError):
            await client.create_task(CAT)
    async with api.client(submit_policy=ONCE_MORE) as client:
        with pytest.raises(AmbiguousSubmissionError) as caught:
            await client.create_task(CAT)
        assert caught.value.evidence is not None
        assert caught.value.evidence.attempt == 2
        assert await client.create_task(CAT)
    assert len(api.simulator.books.accepted) == 4


async def test_generate_follows_the_policy_too(api: Api) -> None:
    api.simulator.script(SubmitRule(answer="before-acceptance-drop"))
    async with api.client(submit_policy=ONCE_MORE) as client:
        assert (await client.generate(CAT)).urls
    assert len(api.simulator.books.accepted) == 1


async def test_an_outage_pauses_a_scheduler_until_the_api_is_back(api: Api) -> None:
    """It costs three jobs and one for each trial that comes too early; the rest waits."""
    api.simulator.script(SubmitRule(answer="html-502", times=4))
    async with api.client() as client, JobScheduler(client) as scheduler:
        jobs = [await scheduler.submit(cat) for cat in cats(20)]
        await anyio.sleep(25)
        paused = scheduler.statistics().paused
        assert isinstance(paused, AmbiguousSubmissionError)
        assert "in a row" in str(paused)
        outcomes = [await job.outcome() for job in jobs]
        assert scheduler.statistics().paused is None
    statuses = [outcome.status for outcome in outcomes]
    assert statuses.count(OutcomeStatus.AMBIGUOUS) == 4  # three, and the first trial
    assert statuses.count(OutcomeStatus.SUCCEEDED) == 16
    assert len(api.simulator.books.accepted) == 16


async def test_a_person_may_resume_sooner_and_one_more_unclear_answer_pauses_again(
    api: Api,
) -> None:
    api.simulator.script(SubmitRule(answer="html-502", times=4))
    async with api.client() as client, JobScheduler(client) as scheduler:
        jobs = [await scheduler.submit(cat) for cat in cats(6)]
        await anyio.sleep(20)
        assert scheduler.statistics().paused is not None
        await scheduler.resume()
        await anyio.sleep(5)
        assert scheduler.statistics().paused is not None
        await scheduler.resume()
        statuses = [(await job.outcome()).status for job in jobs]
    assert statuses.count(OutcomeStatus.AMBIGUOUS) == 4
    assert statuses.count(OutcomeStatus.SUCCEEDED) == 2


async def test_leaving_a_scheduler_paused_by_an_outage_ends_it(api: Api) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer", times=None))
    async with api.client() as client, JobScheduler(client) as scheduler:
        jobs = [await scheduler.submit(cat) for cat in cats(30)]
        await anyio.sleep(20)
    statuses = [(await job.outcome()).status for job in jobs]
    assert statuses.count(OutcomeStatus.CANCELLED) == 27
    assert len(api.simulator.books.accepted) == statuses.count(OutcomeStatus.AMBIGUOUS) == 3


async def test_a_batch_that_meets_an_outage_stops_and_is_resumable(
    api: Api, tmp_path: Path
) -> None:
    api.simulator.script(SubmitRule(answer="lost-answer", times=3))
    items = [(f"cat-{n}", cat) for n, cat in enumerate(cats(9))]
    async with api.client(ledger=tmp_path / "jobs.sqlite3") as client:
        first = [outcome.status for outcome in await client.run_batch(items)]
    assert first.count(OutcomeStatus.AMBIGUOUS) == 3
    assert first.count(OutcomeStatus.CANCELLED) == 6
    async with api.client(ledger=tmp_path / "jobs.sqlite3") as client:
        second = [outcome.status for outcome in await client.run_batch(items)]
    assert second.count(OutcomeStatus.AMBIGUOUS) == 3
    assert second.count(OutcomeStatus.SUCCEEDED) == 6
    assert max(api.simulator.books.accepted_per_prompt().values()) == 1


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_resubmits"):
        AsyncKinovi(api_key=KEY, submit_policy=SubmitPolicy(ambiguous="resubmit"))


@pytest.mark.parametrize("first", ["error-500-accepted", "html-502-accepted"])
async def test_a_refusal_does_not_clear_what_an_earlier_submission_left_open(
    api: Api, tmp_path: Path, first: str
) -> None:
    api.simulator.script(SubmitRule(answer=first, nth=1), SubmitRule(answer=400, nth=2))
    path = tmp_path / "jobs.sqlite3"
    async with api.client(submit_policy=ONCE_MORE, ledger=path) as client:
        (outcome,) = await client.run_batch([("cat-1", CAT)])
        assert outcome.status is OutcomeStatus.AMBIGUOUS
        assert "sent again, it was refused" in str(outcome.error)
        assert [attempt.result for attempt in outcome.attempts][-1] is AttemptResult.REJECTED
    ledger = SQLiteLedger(path)
    await ledger.open()
    totals = await ledger.totals()
    await ledger.aclose()
    # The refused submission cost nothing, the unclear one is counted once.
    assert totals.committed == api.simulator.books.charged == Decimal(15)
