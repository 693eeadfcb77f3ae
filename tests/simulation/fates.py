"""What becomes of one HTTP exchange: drawn by its name, whatever order things happen in."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from kinovi_async.simulator import Answer

from .plan import POLL_FAULTS, SUBMIT_FAULTS, Plan

__all__ = ["Fate", "get_fate", "post_fate", "what_it_tells"]

Way = Literal["whole", "close", "reset", "silent", "cut"]

_PAGES = (502, 503, 504, 520, 522, 524)
_PAGE = "<html><head><title>{0}</title></head><body><center>{0} cloudflare</center></body></html>"
_NOISE = (b"\x00\xff\xfe\x01nonsense", b"", b"OK", b"[]", b'{"data": null}', b'{"taskId": ""}')
_TASK_ID = re.compile(rb'"taskId":"[^"]+"')


@dataclass(frozen=True)
class Fate:
    """How an exchange goes."""

    name: str = ""
    """The fault, or nothing."""
    before: float = 0.0
    """Seconds until the server has the request."""
    after: float = 0.0
    """And from then on until its answer is there."""
    connect: Literal["yes", "refused", "timeout"] = "yes"
    sends: bool = True
    """False: the connection breaks while the request is sent."""
    heard: bool = True
    """Whether the server acts on it."""
    answer: Answer | None = None
    """What is answered instead of what the server says."""
    way: Way = "whole"
    cut: float = 1.0
    """Share of the body that comes."""
    state: str | None = None
    """What a record's state is called instead."""


def post_fate(plan: Plan, key: str, number: int, now: float) -> Fate:
    """The fate of a job's POST with this number."""
    draw = Random(f"{plan.seed} post {key} {number}")
    fate = Fate(before=draw.uniform(*plan.latency), after=draw.uniform(*plan.latency))
    refusal = _window_answer(plan, now)
    if now >= plan.calm_at:
        return fate
    if _in_window(plan, "outage", now):
        return replace(fate, name="outage", connect="refused")
    if refusal is not None:
        return replace(fate, name="window", heard=False, answer=refusal)
    struck = [name for name in SUBMIT_FAULTS if draw.random() < plan.rate(name)]
    if not struck:
        return fate
    name = draw.choice(struck)
    return replace(_submit_fault(fate, name, draw), name=name)


def _submit_fault(fate: Fate, name: str, draw: Random) -> Fate:  # noqa: C901, PLR0911, PLR0912 - a table
    match name:
        case "refused":
            return replace(fate, connect="refused")
        case "connect-timeout":
            return replace(fate, connect="timeout")
        case "sending":
            return replace(fate, sends=False, heard=False)
        case "dropped":
            return replace(fate, heard=False, way="close")
        case "lost":
            return replace(fate, way="close")
        case "reset":
            return replace(fate, way="reset")
        case "silent":
            return replace(fate, way="silent")
        case "error-500" | "error-500-accepted":
            answer = Answer.json(500, {"message": "Internal server error, please retry"})
            return replace(fate, heard=name != "error-500", answer=answer)
        case "gateway" | "gateway-accepted":
            status = draw.choice(_PAGES)
            answer = Answer.html(status, _PAGE.format(status))
            return replace(fate, heard=name != "gateway", answer=answer)
        case "truncated":
            return replace(fate, way="cut", cut=draw.random())
        case "garbage":
            noise = draw.choice((_PAGE.format("Sign in").encode(), *_NOISE))
            return replace(fate, answer=Answer(200, noise))
        case "slow":
            return replace(fate, after=draw.uniform(5, 200))
        case "busy":
            body = {"message": "Concurrency limit reached"}
            numbers = {"limit": 3, "current": 3} if draw.random() < 0.5 else {}
            return replace(fate, heard=False, answer=Answer.json(429, {**body, **numbers}))
        case "rate":
            wait = draw.choice(
                ("1", "10", "0", "-3", "soon", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT")
            )
            body = {"message": "Too many requests: rate limit exceeded"}
            return replace(fate, heard=False, answer=Answer.json(429, body, {"Retry-After": wait}))
        case _:
            status = draw.choice((408, 409, 425))
            answer = Answer.json(status, {"message": "come again"})
            return replace(fate, heard=status == 408 and draw.random() < 0.5, answer=answer)


def get_fate(plan: Plan, task_id: str, number: int, now: float, age: float | None) -> Fate:
    """The fate of the poll of a task with this number; `age` in seconds, None: no such task."""
    draw = Random(f"{plan.seed} get {task_id} {number}")
    fate = Fate(before=draw.uniform(*plan.latency), after=draw.uniform(*plan.latency))
    if now >= plan.calm_at:
        return fate
    if _in_window(plan, "outage", now):
        return replace(fate, name="outage", connect="refused")
    if _in_window(plan, "no-key", now):
        answer = Answer.json(401, {"message": "Invalid API Key"})
        return replace(fate, name="window", answer=answer)
    if age is not None and age < plan.lag:
        answer = Answer.json(404, {"message": "Task not found"})
        return replace(fate, name="poll-lag", answer=answer)
    struck = [name for name in POLL_FAULTS if draw.random() < plan.rate(name)]
    if not struck:
        return fate
    name = draw.choice(struck)
    return replace(_poll_fault(fate, name, draw), name=name)


def _poll_fault(fate: Fate, name: str, draw: Random) -> Fate:  # noqa: PLR0911 - a table
    match name:
        case "poll-refused":
            return replace(fate, connect="refused")
        case "poll-dropped":
            return replace(fate, way=draw.choice(("close", "reset")))
        case "poll-error":
            status = draw.choice((500, 503, 400, 408))
            return replace(fate, answer=Answer.json(status, {"message": "not now"}))
        case "poll-page":
            status = draw.choice(_PAGES)
            return replace(fate, answer=Answer.html(status, _PAGE.format(status)))
        case "poll-garbage":
            return replace(fate, answer=Answer(200, draw.choice(_NOISE)))
        case "poll-truncated":
            return replace(fate, way="cut", cut=draw.random() * 0.99)
        case "poll-unknown":
            return replace(fate, state=draw.choice(("queueing", "failed?", "SUCCEEDED_SOON", "")))
        case "poll-busy":
            answer = Answer.json(429, {"message": "slow down"}, {"Retry-After": "2"})
            return replace(fate, answer=answer)
        case "poll-silent":
            return replace(fate, way="silent")
        case _:
            return replace(fate, after=draw.uniform(1, 60))


def _in_window(plan: Plan, name: str, now: float) -> bool:
    return any(begin <= now < end for begin, end in plan.windows.get(name, ()))


def _window_answer(plan: Plan, now: float) -> Answer | None:
    if _in_window(plan, "no-key", now):
        return Answer.json(401, {"message": "Invalid API Key"})
    if _in_window(plan, "no-credits", now):
        body = {"message": "Insufficient credits", "required": 15, "available": 3}
        return Answer.json(402, body)
    if _in_window(plan, "forbidden", now):
        return Answer.json(403, {"message": "API access not enabled for this account"})
    return None


def what_it_tells(answer: Answer, *, whole: bool) -> str:
    """What a careful reader may conclude from the answer to a createTask.

    `accepted`, `refused` (nothing happened, try again later), `rejected`, `unsent`, `error`
    (the API's own 500), or `unclear`.
    """
    status = answer.status
    if 200 <= status < 300:
        return "accepted" if _TASK_ID.search(answer.body) else "unclear"
    if status in {401, 402, 403, 404, 429}:
        return "refused"
    if status == 425:
        return "unsent"
    if 400 <= status < 500 and status != 408:
        return "rejected"
    return "error" if status == 500 and whole and _is_vendors(answer.body) else "unclear"


def _is_vendors(body: bytes) -> bool:
    try:
        return "message" in json.loads(body)
    except ValueError:
        return False
