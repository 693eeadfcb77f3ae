"""Whatever is sent, the simulator answers 2xx or 4xx; a 5xx comes only when it was asked for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kinovi_async._requests import GENERATIONS, MODELS, ApiGeneration
from kinovi_async.simulator import Simulator
from kinovi_async.simulator._answers import render

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
FIELDS = sorted(
    {field.wire_name for model in MODELS.values() for field in model.fields} | {"aspect_ratio"}
)
LIKELY = (
    st.sampled_from(["1:1", "16:9", "4k", "2k", "5", "15", "reference", "raw", "@image1"])
    | st.sampled_from([5, 0.5, -1, 2**70])
    | st.lists(st.sampled_from(["https://a.b/c.jpg", "https://a.b/c.mp4", "x"]), max_size=3)
)
INPUTS = st.dictionaries(st.sampled_from(FIELDS), LIKELY | JSON, max_size=6)
BODIES = st.fixed_dictionaries(
    {
        "model": st.sampled_from([*MODELS]),
        "inputs": st.builds(
            lambda prompt, inputs: {**inputs, "prompt": prompt}, LIKELY | st.text(), INPUTS
        )
        | JSON,
    },
    optional={"callBackUrl": st.sampled_from(["http://127.0.0.1/x", "no", 3])},
)


def check(simulator: Simulator, body: bytes) -> None:
    before = simulator.books
    answer = simulator.submit("Bearer key", body, "http://x/media").answer
    assert answer.status == 200 or 400 <= answer.status < 500
    told = json.loads(answer.body)
    after = simulator.books
    # The books, too, must be able to tell of whatever was accepted.
    json.loads(render(after.to_json()))
    created = len(after.accepted) - len(before.accepted)
    assert created == (answer.status == 200)
    if created:
        task = after.accepted[-1]
        assert told == {"taskId": task.task_id}
        record = simulator.poll("Bearer key", task.task_id, "http://x/media").answer
        assert json.loads(record.body)["creditsUsed"] == float(task.credits) > 0
    else:
        assert isinstance(told["message"], str)
        assert after.charged == before.charged


def fresh(**options: Any) -> Simulator:
    return Simulator(clock=lambda: 0.0, **options)


@settings(deadline=None)
@given(BODIES | JSON, st.none() | st.booleans(), st.sampled_from([None, *GENERATIONS]))
def test_any_json_body_is_accepted_or_refused_with_a_reason(
    body: object,
    ignore: bool | None,  # noqa: FBT001 - drawn by hypothesis
    generation: ApiGeneration | None,
) -> None:
    simulator = fresh(ignore_unknown_inputs=ignore, api_generation=generation)
    check(simulator, json.dumps(body).encode())


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_reason(body: bytes) -> None:
    check(fresh(), body)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_header_and_task_id_get_an_answer(authorization: str, task_id: str) -> None:
    simulator = fresh(keys=["key"])
    answer = simulator.poll(authorization, task_id, "http://x/media").answer
    assert answer.status in {400, 401, 404}
    answer = simulator.poll("Bearer key", task_id, "http://x/media").answer
    assert answer.status in {400, 404}
    assert simulator.find_file(task_id, task_id, with_key=False)
