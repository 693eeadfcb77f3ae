"""The loop of the API's own example scripts, as many at a time as the user guesses.

One POST, then a poll every 2 s without end, over `urllib`, a connection for each call. The
scripts end at a 429; for a batch they are given the least that helps, a sleep and a repeat.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .work import Body, Work


def _call(work: Work, path: str, body: Body | None = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    headers = {**work.headers, "Content-Type": "application/json"}
    request = Request(work.base_url + path, data, headers)  # noqa: S310 - a loopback address
    with urlopen(request) as response:  # noqa: S310
        answer: dict[str, object] = json.load(response)
        return answer


def _submit(work: Work, body: Body) -> object:
    while True:
        try:
            return _call(work, "/jobs/createTask", body)["taskId"]
        except HTTPError as error:
            error.close()
            if error.code != HTTPStatus.TOO_MANY_REQUESTS:
                raise
        time.sleep(5 * work.second)  # noqa: TID251 - a thread of the scripts' own


def _generate(work: Work, body: Body) -> bool:
    task_id = _submit(work, body)
    while True:
        record = _call(work, f"/jobs/recordInfo?taskId={task_id}")
        if record["status"] in {"success", "fail"}:
            return record["status"] == "success"
        time.sleep(2 * work.second)  # noqa: TID251


def run(work: Work) -> int:
    """The number of jobs that succeeded."""
    with ThreadPoolExecutor(work.guess) as threads:
        return sum(threads.map(lambda body: _generate(work, body), work.bodies))
