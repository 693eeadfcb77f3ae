"""How each peer's own server speaks: paths, bodies and answers over one book of tasks.

A desk takes a submission to a prompt, and the simulator's record to the peer's form. The
faults come later and are the same for all.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from typing import Final, TypeAlias
from urllib.parse import parse_qs

Json: TypeAlias = dict[str, object]
_ID: Final = r"(?P<task_id>task_\w+)"


@dataclass(frozen=True)
class Task:
    """A task as the simulator's record has it."""

    id: str
    status: str
    urls: tuple[str, ...]

    def as_one_of(self, waiting: str, generating: str, success: str, fail: str) -> str:
        """Its status in a peer's words."""
        words = {"waiting": waiting, "generating": generating, "success": success, "fail": fail}
        return words[self.status]


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One peer's server."""

    submission: re.Pattern[str]
    prompt: Callable[[bytes, str], str]
    """The prompt of a submission's body, given its Content-Type."""
    accepted: Callable[[str, str], Json]
    """The answer to a submission, given the task's id and the desk's address."""
    polls: Mapping[re.Pattern[str], Callable[[Task, str], Json]]
    refusal: Callable[[int, str], Json]
    created: int = 200
    """The status of the answer to a submission."""


def _field(*path: str) -> Callable[[bytes, str], str]:
    def read(body: bytes, _kind: str) -> str:
        found = json.loads(body)
        for name in path:
            found = found[name]
        return str(found)

    return read


def _form_field(body: bytes, kind: str) -> str:
    if kind.startswith("multipart/"):
        message = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        for part in message.walk():
            if part.get_param("name", header="content-disposition") == "prompt":
                value = part.get_payload(decode=True)
                return value.decode() if isinstance(value, bytes) else str(value)
        raise ValueError("a form without a prompt")
    if "json" in kind:
        return str(json.loads(body)["prompt"])
    return parse_qs(body.decode())["prompt"][0]


def _at(path: str) -> re.Pattern[str]:
    return re.compile(path)


def _iso() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _fal_status(task: Task, address: str) -> Json:
    return {
        "status": task.as_one_of("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "COMPLETED"),
        "queue_position": 0,
        "logs": [],
        "response_url": f"{address}/fal-ai/fast-sdxl/requests/{task.id}",
    }


def _replicate(task: Task, address: str) -> Json:
    where = f"{address}/v1/predictions/{task.id}"
    return {
        "id": task.id,
        "model": "black-forest-labs/flux-schnell",
        "version": "hidden",
        "status": task.as_one_of("starting", "processing", "succeeded", "failed"),
        "input": {},
        "output": list(task.urls) or None,
        "logs": "",
        "error": None,
        "metrics": {},
        "created_at": _iso(),
        "urls": {"get": where, "cancel": f"{where}/cancel"},
    }


def _openai(task: Task, _address: str) -> Json:
    return {
        "id": task.id,
        "object": "video",
        "created_at": int(time.time()),
        "model": "sora-2",
        "progress": 0,
        "seconds": "4",
        "size": "720x1280",
        "status": task.as_one_of("queued", "in_progress", "completed", "failed"),
    }


def _runwayml(task: Task, _address: str) -> Json:
    return {
        "id": task.id,
        "status": task.as_one_of("PENDING", "RUNNING", "SUCCEEDED", "FAILED"),
        "createdAt": _iso(),
        "output": list(task.urls),
    }


def _comfy_status(task: Task, _address: str) -> Json:
    status = task.as_one_of("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "COMPLETED")
    return {"request_id": task.id, "status": status, "queue_position": 0}


def _images(task: Task, _address: str) -> Json:
    return {"images": [{"url": url} for url in task.urls]}


def _new(task_id: str) -> Task:
    return Task(task_id, "waiting", ())


DESKS: Final[Mapping[str, Desk]] = {
    "fal": Desk(
        submission=_at(r"/fal-ai/fast-sdxl"),
        prompt=_field("prompt"),
        accepted=lambda task_id, address: {
            "request_id": task_id,
            "response_url": f"{address}/fal-ai/fast-sdxl/requests/{task_id}",
            "status_url": f"{address}/fal-ai/fast-sdxl/requests/{task_id}/status",
            "cancel_url": f"{address}/fal-ai/fast-sdxl/requests/{task_id}/cancel",
        },
        polls={
            _at(rf"/fal-ai/fast-sdxl/requests/{_ID}/status"): _fal_status,
            _at(rf"/fal-ai/fast-sdxl/requests/{_ID}"): _images,
        },
        refusal=lambda _status, message: {"detail": message},
    ),
    "runwayml": Desk(
        submission=_at(r"/v1/text_to_image"),
        prompt=_field("promptText"),
        accepted=lambda task_id, _: {"id": task_id, "estimatedCost": {"credits": 15}},
        polls={_at(rf"/v1/tasks/{_ID}"): _runwayml},
        refusal=lambda _status, message: {"error": message},
    ),
    "replicate": Desk(
        submission=_at(r"/v1/models/black-forest-labs/flux-schnell/predictions"),
        prompt=_field("input", "prompt"),
        accepted=lambda task_id, address: _replicate(_new(task_id), address),
        polls={_at(rf"/v1/predictions/{_ID}"): _replicate},
        refusal=lambda status, message: {"title": message, "detail": message, "status": status},
        created=201,
    ),
    "openai": Desk(
        submission=_at(r"/videos"),
        prompt=_form_field,
        accepted=lambda task_id, address: _openai(_new(task_id), address),
        polls={_at(rf"/videos/{_ID}"): _openai},
        refusal=lambda _status, message: {"error": {"message": message, "type": "server_error"}},
    ),
    "comfy": Desk(
        submission=_at(r"/v2/models/bfl/flux-2-pro/requests"),
        prompt=_field("prompt"),
        accepted=lambda task_id, _: {"request_id": task_id, "status": "IN_QUEUE"},
        polls={
            _at(rf"/v2/models/bfl/flux-2-pro/requests/{_ID}/status"): _comfy_status,
            _at(rf"/v2/models/bfl/flux-2-pro/requests/{_ID}"): _images,
        },
        refusal=lambda _status, message: {"error": {"code": "internal", "message": message}},
        created=202,
    ),
}
