"""Uploads: a place is asked for with the key, filled without it, and read by anyone.

What is decided here follows from the calls so far and the clock; nothing is drawn by lot
but the faults.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from .._sniffing import sniff
from ._answers import UNAVAILABLE, Answer, Delivery, refusal
from ._checks import Failure, Order
from ._deliveries import delivery
from ._faults import UPLOAD_FAULTS, Fault, Faults
from ._luck import Luck
from ._media import MediaFile

if TYPE_CHECKING:
    from ._books import Counts

LIFETIME: Final = 86_400.0
"""Seconds an upload lives, as the documents have it."""
SIGNATURE: Final = 3600.0
"""Seconds in which a place may be filled."""
LARGEST: Final = 200 * 1024 * 1024
"""Bytes of one file. The documents name no limit; this one keeps the memory."""
_ROOM: Final = 1024 * 1024 * 1024
_HEAD: Final = 1024
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_TYPES: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
}


@dataclass(slots=True)
class _Place:
    name: str
    media_type: str
    asked_at: float
    file: MediaFile | None = None
    filled_at: float = 0.0


class UploadStore:
    """The places that were given out, and what is in them."""

    def __init__(
        self,
        seed: int,
        clock: Callable[[], float],
        luck: Luck,
        faults: Faults,
        counts: Counts,
    ) -> None:
        self._clock = clock
        self._luck = luck
        self._faults = faults
        self._counts = counts
        self._puts: Counter[str] = Counter()
        self._secret = f"uploads of {seed}".encode()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._asked: Counter[str] = Counter()
        self._taken = 0

    def offer(self, body: object, media_base: str) -> Answer:
        """The answer to POST /uploads: a place beside the files of tasks."""
        base = _base(media_base)
        name = body.get("fileName") if isinstance(body, Mapping) else None
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            return refusal(400, "Invalid request parameters")
        media_type = _TYPES.get(name.rpartition(".")[2].lower())
        if media_type is None:
            return refusal(400, "Unsupported file type")
        self._asked[name] += 1
        path = f"{self._sign(f'{name} {self._asked[name]}')[:24]}/{name}"
        self._places[path] = _Place(name, media_type, self._clock())
        return Answer.json(
            200,
            {
                "uploadUrl": f"{base}{path}?signature={self._sign(path)}",
                "method": "PUT",
                "contentType": media_type,
                "expiresIn": int(SIGNATURE),
                "path": f"temp-uploads/{path}",
                "url": f"{base}{path}",
                "assetTtlSeconds": int(LIFETIME),
            },
        )

    def put(
        self, path: str, signature: str, content_type: str | None, content: bytes, *, with_key: bool
    ) -> Delivery:
        """Answers the PUT of a file; `with_key`: an Authorization came along."""
        self._counts.keys_leaked += with_key
        name = path.rpartition("/")[2]
        self._puts[name] += 1
        roll = self._luck.roll("upload", name, self._puts[name])
        fault = self._faults.pick(UPLOAD_FAULTS, roll)
        if fault is not None:
            self._counts.faults[fault] += 1
        if fault in {Fault.UPLOAD_ERROR, Fault.UPLOAD_REFUSED}:
            return delivery(fault, UNAVAILABLE)
        answer = self._filled(path, signature, content_type, content)
        self._counts.uploads += answer.status < 400  # noqa: PLR2004 - HTTP
        return delivery(fault, answer)

    def _filled(
        self, path: str, signature: str, content_type: str | None, content: bytes
    ) -> Answer:
        now = self._clock()
        place = self._places.get(path)
        signed = hmac.compare_digest(signature.encode(), self._sign(path).encode())
        if place is None or not signed or now > place.asked_at + SIGNATURE:
            return Answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        if content_type != place.media_type or not content:
            return Answer(400, b"<Error><Code>InvalidRequest</Code></Error>")
        if len(content) > LARGEST:
            return Answer(413, b"<Error><Code>EntityTooLarge</Code></Error>")
        etag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
        self._taken += len(content) - (len(place.file.content) if place.file else 0)
        place.file = MediaFile(content, place.media_type, etag)
        place.filled_at = now
        self._make_room()
        return Answer(200, b"", {"ETag": etag})

    def find(self, path: str) -> MediaFile | None:
        """A file that is there and lives."""
        place, now = self._places.get(path), self._clock()
        if place is None or place.file is None or now > place.filled_at + LIFETIME:
            return None
        return place.file

    def checked(self, order: Order, media_base: str) -> Order:
        """The order; doomed when it refers to an upload that is not there, or no media."""
        base = _base(media_base)
        if not media_base or order.doom is not None:
            return order
        for url in _texts(order.body):
            if url.startswith(base):
                file = self.find(url.removeprefix(base))
                if file is None or sniff(file.content[:_HEAD], url) != file.media_type:
                    why = Failure("asset_review_failed", f"Could not fetch {url}")
                    return replace(order, doom=why)
        return order

    def _sign(self, text: str) -> str:
        return hmac.digest(self._secret, text.encode(), "sha256").hex()

    def _make_room(self) -> None:
        for path in list(self._places):
            if self._taken <= _ROOM:
                return
            file = self._places[path].file
            if file is not None:
                self._taken -= len(file.content)
                del self._places[path]


def _base(media_base: str) -> str:
    return f"{media_base.removesuffix('media')}temp-uploads/"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
