"""What a contender is given to do: the same for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

Body = Mapping[str, object]
"""A createTask body in the API's own form."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Jobs, where to send them, and what the user believes."""

    base_url: str
    key: str
    bodies: list[dict[str, object]]
    speed: float
    """How many times faster than the API the server is."""
    guess: int
    """The account's limit as the user guesses it; for those who need one."""

    @property
    def second(self) -> float:
        """A second of the API in seconds of this machine."""
        return 1.0 / self.speed

    @property
    def headers(self) -> dict[str, str]:
        """The one header that the API wants."""
        return {"Authorization": f"Bearer {self.key}"}

    def to_json(self) -> str:
        """The work on its way into a contender's process."""
        return json.dumps(asdict(self))


def read_work(text: str) -> Work:
    """The way back from `to_json`."""
    return Work(**json.loads(text))
