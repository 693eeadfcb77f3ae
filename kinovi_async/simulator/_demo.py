"""The demo account's five ended tasks, under the ids the API's documents publish."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from .._requests import SEED
from ._accounts import DEMO_KEY, fingerprint
from ._answers import Answer
from ._checks import Failure, Order, check_body
from ._tasks import SimulatedTask

_TEXT: Final = {"prompt": "A serene mountain landscape at golden hour", "duration": "5"}
_IMAGE: Final = {"prompt": "The leaves move in the wind", "urls": ["https://example.com/tree.jpg"]}
_AGO: Final = 3600.0
_TOOK: Final = 120.0
"""Seconds; the sample record of the API's overview took as long."""

_TASKS: Final[tuple[tuple[str, dict[str, object], Failure | None], ...]] = (
    ("demo_task_t2v_success", {**_TEXT}, None),
    ("demo_task_i2v_success", {**_IMAGE}, None),
    (
        "demo_task_fail_text_moderation",
        {**_TEXT},
        Failure("2038", "The prompt does not comply with the platform's rules"),
    ),
    (
        "demo_task_fail_face_detected",
        {**_IMAGE},
        Failure("4011", "A real face was found in the uploaded image"),
    ),
    (
        "demo_task_fail_server_error",
        {**_TEXT},
        Failure("500", "Generation failed. Please try again"),
    ),
)


def demo_tasks(now: float) -> list[SimulatedTask]:
    """The demo tasks, ended some time before `now`."""
    orders = _orders()
    return [_task(now - _AGO, task_id, orders[task_id], failure) for task_id, _, failure in _TASKS]


@cache
def _orders() -> Mapping[str, Order]:
    """What was ordered, by task id. Checked once: a test-suite makes many simulators."""
    orders: dict[str, Order] = {}
    for task_id, inputs, _ in _TASKS:
        order = check_body({"model": "seedance-20", "inputs": inputs}, generation=SEED)
        if isinstance(order, Answer):  # the bodies above are fixed, and tested
            raise TypeError(f"the demo task {task_id} is no valid request: {order.body!r}")
        orders[task_id] = order
    return orders


def _task(accepted_at: float, task_id: str, order: Order, failure: Failure | None) -> SimulatedTask:
    return SimulatedTask(
        id=task_id,
        order=0,
        account=fingerprint(DEMO_KEY),
        request=order,
        accepted_at=accepted_at,
        starts_at=accepted_at,
        ends_at=accepted_at + _TOOK,
        settles_at=accepted_at + _TOOK,
        failure=failure,
        media_base="",
        submission="answered",
    )
