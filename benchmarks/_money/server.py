"""The server's own process: `python -m _money.server JSON`, prints its origin.

The simulator, and before it a desk for each peer that speaks as the peer's own server
does. Every submission ends in the simulator's one book, and every answer leaves through
its one set of faults, so that nothing but the client makes the difference.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

from _money.desks import DESKS, Desk, Json, Task
from _money.faults import COLUMNS, CONTROL, POLLS_IN_A_ROW, Column
from kinovi_async.simulator import (
    Faults,
    PollRule,
    RunningSimulator,
    Simulator,
    SubmitRule,
    run_simulator,
)
from kinovi_async.simulator._answers import Answer, Delivery
from kinovi_async.simulator._app import Sender

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_ROOT = "/peer/"
_KEY = "Bearer sk-peers"
_ACCEPTED = 200


class ManyTongues(Simulator):
    """The simulator with the peers' desks before it."""

    @property
    def app(self) -> ASGIApp:
        """The ASGI application: the peers' paths, and all others as ever."""
        return self._house

    def __init__(self, *, seconds: float, slow_seconds: float) -> None:
        super().__init__(
            limit=100_000,
            durations={"nanobanana2": (seconds, seconds)},
            faults=Faults(slow_seconds=slow_seconds),
        )
        self._house = House(self, super().app)


class House:
    """Which desk a request goes to."""

    def __init__(self, simulator: Simulator, others: ASGIApp) -> None:
        self._simulator = simulator
        self._others = others
        self._claimed: dict[str, str] = {}
        """Idempotency key -> task: a server that takes keys creates once for each."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(_ROOT):
            await self._others(scope, receive, send)
            return
        request = Request(scope, receive)
        if path == f"{_ROOT}claims":
            await JSONResponse(self._claimed)(scope, receive, send)
            return
        name, _, rest = path.removeprefix(_ROOT).partition("/")
        delivery = await self._deliver(DESKS[name], name, f"/{rest}", request)
        slow = self._simulator.slow_seconds
        await Sender(delivery, slow_seconds=slow)(scope, receive, send)

    async def _deliver(self, desk: Desk, name: str, path: str, request: Request) -> Delivery:
        origin = str(request.base_url).rstrip("/")
        address = f"{origin}{_ROOT}{name}"
        if request.method == "POST" and desk.submission.fullmatch(path):
            prompt = desk.prompt(await request.body(), request.headers.get("content-type", ""))
            return self._submit(desk, prompt, address, request.headers.get("idempotency-key"))
        for pattern, view in desk.polls.items():
            found = pattern.fullmatch(path)
            if found and request.method == "GET":
                delivery = self._simulator.poll(_KEY, found["task_id"], f"{origin}/media")
                return _in_words(desk, delivery, partial(_shown, view, address))
        return Delivery(Answer.json(404, desk.refusal(404, f"no such path: {path}")))

    def _submit(self, desk: Desk, prompt: str, address: str, key: str | None) -> Delivery:
        if key is not None and key in self._claimed:
            return Delivery(Answer.json(desk.created, desk.accepted(self._claimed[key], address)))
        before = {task.task_id for task in self._simulator.books.accepted}
        body = json.dumps({"model": "nanobanana2", "inputs": {"prompt": prompt}}).encode()
        delivery = self._simulator.submit(_KEY, body, "")
        if key is not None:
            for task in self._simulator.books.accepted:
                if task.task_id not in before:
                    self._claimed[key] = task.task_id
        return _in_words(
            desk,
            delivery,
            lambda answer: desk.accepted(str(answer["taskId"]), address),
            status=desk.created,
        )


def _in_words(
    desk: Desk, delivery: Delivery, view: Callable[[Json], Json], *, status: int = _ACCEPTED
) -> Delivery:
    """The simulator's answer in the peer's words; a gateway's page stays what it is."""
    answer = delivery.answer
    if "json" not in answer.headers.get("Content-Type", ""):
        return delivery
    found = json.loads(answer.body)
    if answer.status == _ACCEPTED:
        return Delivery(Answer.json(status, view(found)), delivery.way)
    refusal = desk.refusal(answer.status, str(found.get("message")))
    return Delivery(Answer.json(answer.status, refusal), delivery.way)


def _shown(view: Callable[[Task, str], Json], address: str, record: Json) -> Json:
    return view(_task(record), address)


def _task(record: Mapping[str, object]) -> Task:
    outputs = record["output"]
    urls = tuple(each["url"] for each in outputs) if isinstance(outputs, list) else ()
    return Task(str(record["taskId"]), str(record["status"]), urls)


def _rule(column: Column, spell: str, prompt: str) -> SubmitRule | PollRule:
    if column.polls:
        return PollRule(answer=column.answer, prompt=prompt, times=POLLS_IN_A_ROW)
    times = 1 if spell == "once" else None
    return SubmitRule(answer=column.answer, prompt=prompt, times=times)


def _ready(running: RunningSimulator) -> None:
    print(running.origin, flush=True)


def main(settings: str) -> None:
    """Serves until it is terminated."""
    options = json.loads(settings)
    simulator = ManyTongues(seconds=options["seconds"], slow_seconds=options["slow_seconds"])
    columns = {column.name: column for column in COLUMNS}
    for name, spell, prompt in options["wishes"]:
        if name != CONTROL.name:
            simulator.script(_rule(columns[name], spell, prompt))
    run_simulator(simulator, on_ready=_ready)


if __name__ == "__main__":
    main(sys.argv[1])
