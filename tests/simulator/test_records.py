"""recordInfo: the state at a moment, the shapes of the answer, and what follows from a seed."""

from __future__ import annotations

from typing import Any

import anyio.lowlevel
import pytest

from kinovi_async import ConfigurationError
from kinovi_async.simulator import Dialect, Faults, Simulator, TaskRule
from tests.simulator.calls import Caller, Clock, JsonObject, banana, caller, seedance


async def test_a_task_waits_generates_and_succeeds_by_the_clock(clock: Clock) -> None:
    simulator = Simulator(clock=clock, durations={"nanobanana2": (20, 20)})
    async with caller(simulator) as client:
        task_id = await client.created(banana())
        first = await client.record(task_id)
        assert first == {
            "taskId": task_id,
            "model": "nanobanana2",
            "status": "waiting",
            "creditsUsed": 15,
            "output": None,
            "error": None,
            "createTime": 1709900000000,
            "completeTime": None,
        }
        clock.advance(19.9)
        assert (await client.record(task_id))["status"] == "generating"
        clock.advance(0.1)
        last = await client.record(task_id)
        clock.advance(500)
        assert await client.record(task_id) == last
    assert (last["status"], last["completeTime"]) == ("success", 1709900020000)
    assert [set(output) for output in last["output"]] == [{"url", "width", "height"}]
    assert last["output"][0]["url"] == f"http://simulator/media/{task_id}/0.png"


async def test_speed_shortens_every_task(clock: Clock) -> None:
    simulator = Simulator(clock=clock, speed=50, durations={"nanobanana2": (20, 20)})
    async with caller(simulator) as client:
        task_id = await client.created(banana())
        clock.advance(0.39)
        assert (await client.record(task_id))["status"] == "generating"
        clock.advance(0.01)
        assert (await client.record(task_id))["status"] == "success"


@pytest.mark.parametrize(
    ("model", "low", "high"),
    [("seedance-20", 60, 180), ("midjourney-v8", 30, 90), ("nanobanana2", 10, 31)],
)
async def test_tasks_take_the_documented_time(
    model: str, low: float, high: float, clock: Clock
) -> None:
    simulator = Simulator(clock=clock, limit=100)
    async with caller(simulator) as client:
        for number in range(40):
            await client.created({"model": model, "inputs": {"prompt": f"{number}"}})
    taken = [(task.ends_at or 0) - task.accepted_at for task in simulator.books.accepted]
    assert low <= min(taken) < low + (high - low) / 4
    assert high - (high - low) / 4 < max(taken) <= high


@pytest.mark.parametrize(
    ("dialect", "failing"),
    [
        (
            Dialect(),
            {"status": "fail", "creditsUsed": 15, "error": {"code": "2038", "message": "no"}},
        ),
        (Dialect(error="string"), {"error": "no"}),
        (Dialect(fail_credits="zero"), {"creditsUsed": 0}),
        (Dialect(status_field="state"), {"state": "fail"}),
    ],
)
async def test_a_failure_is_told_in_the_chosen_dialect(
    dialect: Dialect, failing: JsonObject, clock: Clock
) -> None:
    simulator = Simulator(clock=clock, dialect=dialect)
    simulator.script(TaskRule(code="2038", message="no"))
    async with caller(simulator) as client:
        task_id = await client.created(banana())
        clock.advance(100)
        record = await client.record(task_id)
    assert failing.items() <= record.items()
    assert record["output"] is None


async def test_records_may_come_in_an_envelope_and_outputs_with_their_type(clock: Clock) -> None:
    simulator = Simulator(clock=clock, dialect=Dialect(envelope=True, media_type=True))
    async with caller(simulator) as client:
        task_id = await client.created(seedance())
        clock.advance(1000)
        answer = await client.record(task_id)
    assert (answer["code"], answer["message"]) == (200, "success")
    assert answer["data"]["output"][0]["mediaType"] == "video/mp4"


BODIES: list[JsonObject] = [banana(f"prompt {number}") for number in range(12)] + [seedance()] * 3


async def outcomes(client: Caller, bodies: list[JsonObject], clock: Clock) -> list[JsonObject]:
    await anyio.lowlevel.checkpoint()
    ids = [await client.created(body) for body in bodies]
    clock.advance(1000)
    return [await client.record(task_id) for task_id in ids]


async def run(seed: int, bodies: list[JsonObject]) -> list[JsonObject]:
    clock = Clock()
    simulator = Simulator(seed=seed, clock=clock, limit=100, faults=Faults(fail=0.5))
    async with caller(simulator) as client:
        return await outcomes(client, bodies, clock)


async def test_the_same_seed_and_calls_give_the_same_answers_and_another_seed_others() -> None:
    first = await run(1, BODIES)
    assert await run(1, BODIES) == first
    assert await run(2, BODIES) != first


async def test_a_jobs_fate_does_not_depend_on_the_order_of_the_calls() -> None:
    def by_id(records: list[JsonObject]) -> dict[str, Any]:
        return {record["taskId"]: record for record in records}

    assert by_id(await run(1, BODIES)) == by_id(await run(1, BODIES[::-1]))


async def test_after_a_reset_everything_happens_again(clock: Clock) -> None:
    simulator = Simulator(clock=clock, limit=2)
    async with caller(simulator) as client:
        first = await client.created(banana())
        simulator.set_limit(0)
        simulator.reset()
        assert (await client.info(first)).status_code == 404
        assert simulator.books.accepted == ()
        assert await client.created(banana()) == first


@pytest.mark.parametrize(
    "options",
    [
        {"keys": "one"},
        {"speed": 0},
        {"speed": float("nan")},
        {"limit": -1},
        {"credits": -1},
        {"latency": -1},
        {"durations": {"nanobanana2": (5, 1)}},
        {"durations": {"no-such-model": (1, 5)}},
    ],
)
def test_an_option_out_of_its_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Simulator(**options)
