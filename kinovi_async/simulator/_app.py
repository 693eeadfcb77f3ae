"""The simulator over HTTP: which call goes where, and how a delivery goes out.

Nothing is decided here; `_state` decides, this module reads requests and writes bytes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import _answers as answers
from ._answers import Answer, Delivery, Way
from ._hangups import SCOPE_KEY, Connection, SimulatedHangup
from ._media import MediaFile
from ._ranges import part_of
from ._uploads import LARGEST

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._simulator import Simulator
    from ._state import Download

BASE_PATH: Final = "/api/v1"
_NOT_HERE: Final = answers.refusal(403, "The books are for this machine alone")
_NOT_WHOLE: Final = answers.refusal(400, "Invalid request parameters")
_LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a createTask; the longest documented prompt has 30,000 characters."""


class Sender:
    """A delivery on its way out, as the ASGI application that answers the request."""

    def __init__(self, delivery: Delivery, *, late: float = 0.0, slow_seconds: float = 0.0) -> None:
        self._answer = delivery.answer
        self._way = delivery.way
        self._late = late + (slow_seconds if delivery.way is Way.SLOW else 0.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Waits when the delivery is late, then answers or ends the connection."""
        if self._late > 0:
            with anyio.move_on_after(self._late):
                await _gone(receive)
                return
        if self._way in {Way.PLAIN, Way.SLOW}:
            await self._response()(scope, receive, send)
            return
        connection: Connection | None = scope.get(SCOPE_KEY)
        if self._way is Way.TRUNCATE:
            await self._half(connection, receive, send)
        elif connection is None:
            raise SimulatedHangup(f"the simulator ended the exchange: {self._way.name.lower()}")
        else:
            (connection.reset if self._way is Way.RESET else connection.drop)()
            await _gone(receive)

    def _response(self) -> Response:
        answer = self._answer
        return Response(answer.body, answer.status, dict(answer.headers))

    async def _half(self, connection: Connection | None, receive: Receive, send: Send) -> None:
        """The headers of the whole and the first half of the body, then the end."""
        response = self._response()
        body = self._answer.body[: len(self._answer.body) // 2]
        await send(
            {
                "type": "http.response.start",
                "status": response.status_code,
                "headers": response.raw_headers,
            }
        )
        more = connection is not None
        await send({"type": "http.response.body", "body": body, "more_body": more})
        if connection is not None:
            connection.close()
            await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Returns when the client is gone or its connection has ended."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Painter:
    """A file on its way out, drawn first when it is not there yet."""

    def __init__(self, simulator: Simulator, found: Download, request: Request) -> None:
        self._files = simulator.files
        self._found = found
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Draws in a worker thread, then sends the file or the piece that is asked for."""
        task, number = self._found.task, self._found.number
        file = self._files.kept(task, number)
        if file is None:
            file = await anyio.to_thread.run_sync(self._files.drawn, task, number)
        delivery = Delivery(_part(self._request, file), self._found.way)
        await Sender(delivery)(scope, receive, send)


class Endpoint:
    """A request answered by a plain function, without a thread and without a wait."""

    def __init__(self, handle: Callable[[Request], ASGIApp]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        await self._handle(Request(scope))(scope, receive, send)


class Site:
    """The simulator's routes."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def app(self) -> ASGIApp:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", Endpoint(_home), methods=["GET"]),
                Route(f"{BASE_PATH}/jobs/createTask", self._create, methods=["POST"]),
                Route(f"{BASE_PATH}/jobs/recordInfo", Endpoint(self._record), methods=["GET"]),
                Route(f"{BASE_PATH}/uploads", self._offer_upload, methods=["POST"]),
                Route("/temp-uploads/{path:path}", self._put_upload, methods=["PUT"]),
                Route("/temp-uploads/{path:path}", Endpoint(self._uploaded), methods=["GET"]),
                Route("/media/{task_id}/{name}", Endpoint(self._media), methods=["GET"]),
                Route("/simulator/books", Endpoint(self._books), methods=["GET"]),
                Route("/simulator/reset", Endpoint(self._reset), methods=["POST"]),
            ],
            exception_handlers={HTTPException: _refuse},
        )

    async def _create(self, request: Request) -> ASGIApp:
        raw = await _body(request.receive)
        if isinstance(raw, Answer):
            return _response(raw)
        authorization = request.headers.get("authorization")
        return self._sender(self._simulator.submit(authorization, raw, _media_base(request)))

    async def _offer_upload(self, request: Request) -> ASGIApp:
        raw = await _body(request.receive)
        if isinstance(raw, Answer):
            return _response(raw)
        authorization = request.headers.get("authorization")
        answer = self._simulator.offer_upload(authorization, raw, _media_base(request))
        return self._sender(Delivery(answer))

    async def _put_upload(self, request: Request) -> ASGIApp:
        raw = await _body(request.receive, largest=LARGEST)
        if isinstance(raw, Answer):
            return _response(raw)
        return self._sender(
            self._simulator.put_upload(
                request.path_params["path"],
                request.query_params.get("signature", ""),
                request.headers.get("content-type"),
                raw,
                with_key="authorization" in request.headers,
            )
        )

    def _uploaded(self, request: Request) -> ASGIApp:
        file = self._simulator.find_upload(request.path_params["path"])
        if file is None:
            return _response(answers.refusal(404, "Not found"))
        return _response(_part(request, file))

    def _record(self, request: Request) -> ASGIApp:
        authorization = request.headers.get("authorization")
        task_id = request.query_params.get("taskId")
        return self._sender(self._simulator.poll(authorization, task_id, _media_base(request)))

    def _sender(self, delivery: Delivery) -> ASGIApp:
        simulator = self._simulator
        return Sender(delivery, late=simulator.latency, slow_seconds=simulator.slow_seconds)

    def _media(self, request: Request) -> ASGIApp:
        task_id, name = request.path_params["task_id"], request.path_params["name"]
        with_key = "authorization" in request.headers
        found = self._simulator.find_file(task_id, name, with_key=with_key)
        if isinstance(found, Answer):
            return _response(found)
        return Painter(self._simulator, found, request)

    def _books(self, request: Request) -> ASGIApp:
        if not _is_near(request):
            return _response(_NOT_HERE)
        return _response(Answer.json(200, self._simulator.books.to_json()))

    def _reset(self, request: Request) -> ASGIApp:
        if not _is_near(request):
            return _response(_NOT_HERE)
        self._simulator.reset()
        return Response(status_code=204)


def _home(request: Request) -> ASGIApp:
    base = str(request.base_url).rstrip("/")
    text = {
        "message": "This is the simulator of the Kinovi API that comes with kinovi-async.",
        "base_url": f"{base}{BASE_PATH}",
        "books": f"{base}/simulator/books",
    }
    return _response(Answer.json(200, text))


async def _refuse(_request: Request, error: Exception) -> Response:
    """An unknown path or method, in the API's form."""
    # Starlette would run a plain function in a thread.
    await anyio.lowlevel.checkpoint()
    if not isinstance(error, HTTPException):
        raise error
    answer = answers.refusal(error.status_code, str(error.detail))
    headers = {**answer.headers, **(error.headers or {})}
    return Response(answer.body, answer.status, headers)


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))


async def _body(receive: Receive, *, largest: int = _LARGEST_BODY) -> bytes | Answer:
    """The body, or what answers one that is too long or breaks off."""
    raw = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            # It hung up in the middle: nothing was ordered, and nobody hears this.
            return _NOT_WHOLE
        raw += message.get("body", b"")
        if len(raw) > largest:
            return answers.TOO_LARGE
        if not message.get("more_body", False):
            return bytes(raw)


def _media_base(request: Request) -> str:
    return f"{request.base_url}media"


def _is_near(request: Request) -> bool:
    """Whether the request comes from this machine."""
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _part(request: Request, file: MediaFile) -> Answer:
    """The file or the piece of it that the request asks for."""
    size = len(file.content)
    status, start, end = part_of(
        size,
        file.etag,
        wanted=request.headers.get("range"),
        if_range=request.headers.get("if-range"),
        if_none_match=request.headers.get("if-none-match"),
    )
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=3600",
        "ETag": file.etag,
        "Content-Type": file.media_type,
    }
    if status == 206:  # noqa: PLR2004 - HTTP
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    elif status == 416:  # noqa: PLR2004 - HTTP
        headers["Content-Range"] = f"bytes */{size}"
    return Answer(status, file.content[start:end], headers)
