"""The API in memory, behind the part of `httpx.AsyncClient` that the SDK uses: no sockets.

It runs a limited number of tasks, each of which has succeeded by the time it is asked for,
and keeps nothing of a task that was asked for: what grows is the client's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

from _overhead_server import encoded, record_of

_OUTPUT = [{"url": "https://media.example/0.png", "width": 1792, "height": 2368}]


class Answer:
    """An answer that is read already."""

    is_stream_consumed = True

    def __init__(self, status: HTTPStatus, payload: object) -> None:
        self.status_code = int(status)
        self.headers = {"content-type": "application/json"}
        self.content = encoded(payload)

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """Never asked for: the content is there."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is open."""


class Call:
    """A request that knows its way."""

    def __init__(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        self.method = method
        self.url = url
        self.headers = dict(headers)


class AsyncClient:
    """An account of the API.

    Args:
        limit: Tasks it runs at once; others are refused as the API does.
        ends: Whether a task has succeeded when it is first asked for, or never ends.
    """

    def __init__(self, *, limit: int, ends: bool = True) -> None:
        self.limit = limit
        self.ends = ends
        self.running: set[str] = set()
        self.made = 0
        self.refused = 0
        self.polls = 0

    def build_request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None,  # noqa: ARG002 - what is asked for does not matter here
        headers: Mapping[str, str],
        extensions: Mapping[str, object],  # noqa: ARG002 - nothing can time out
    ) -> Call:
        """As httpx's, as far as the SDK uses it."""
        return Call(method, url, headers)

    async def send(self, request: Call, **_options: object) -> Answer:
        """Answers at once."""
        if request.method == "POST":
            return self._submitted()
        self.polls += 1
        task_id = request.url.rpartition("taskId=")[2]
        record = record_of(task_id)
        if self.ends:
            self.running.discard(task_id)
            record |= {"status": "success", "output": _OUTPUT, "completeTime": record["createTime"]}
        return Answer(HTTPStatus.OK, record)

    def _submitted(self) -> Answer:
        if len(self.running) >= self.limit:
            self.refused += 1
            refusal = {"message": "Too many concurrent tasks", "limit": self.limit}
            return Answer(HTTPStatus.TOO_MANY_REQUESTS, refusal)
        self.made += 1
        task_id = f"task_{self.made:024d}"
        self.running.add(task_id)
        return Answer(HTTPStatus.OK, {"taskId": task_id})
