"""Uploads of local files: each content once, while the server keeps it.

What was uploaded is known by the hash of its content, in this process and in a durable
ledger. A file is compared with its hash before it is sent and once more while it is sent:
one that changed since it was checked never arrives.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import anyio
import anyio.lowlevel

from .._errors import InvalidRequestError, LedgerError, Problem

if TYPE_CHECKING:
    from .._ledger import JsonValue, Ledger
    from .._requests import LocalFile, Upload
    from .._transport import OnProgress, UploadTransport

__all__ = ["Uploads"]

_log = logging.getLogger("kinovi_async")

# Seconds of the 24 hours that are not relied on: a task may wait for an hour at the server
# before it fetches its references.
_MARGIN = 3600.0
# Uploads known at a time, about 300 bytes each; the longest unused is forgotten, and
# uploaded once more if need be.
_KNOWN = 10_000
# Uploads kept under one name of a ledger; there are 256 names, by the hash's first digits.
_KEPT = 64
# Bytes handed over at a time: on a slow line, a piece must be through before the write
# timeout of a few seconds.
_PIECE = 1 << 16
_READ = 1 << 20


class Uploads:
    """The uploads of one account."""

    def __init__(self, transport: UploadTransport, *, name: str, wall: Callable[[], float]) -> None:
        self._transport = transport
        self._name = name
        self._wall = wall
        self._known: OrderedDict[str, Upload] = OrderedDict()
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    async def ensure(
        self,
        file: LocalFile,
        ledger: Ledger | None = None,
        *,
        field: str = "file",
        on_progress: OnProgress | None = None,
    ) -> Upload:
        """The upload of a file: one that is known and still lives, or a new one.

        Cancellation: the upload is broken off; nothing was paid or submitted.

        Args:
            file: What to upload.
            ledger: Where uploads are remembered beyond this process.
            field: Where the file stands in its request, for messages.
            on_progress: Told the bytes handed over and their total, once for a known one.

        Raises:
            InvalidRequestError: the file is gone, or not what it was when it was checked.
            UploadError, APIError: it cannot be uploaded.
        """
        lock = self._locks.get(file.sha256)
        if lock is None:
            lock = self._locks[file.sha256] = anyio.Lock()
        async with lock:  # the same file in two requests goes out once
            found = self._recall(file) or await self._read(file, ledger)
            if found is not None:
                if on_progress is not None:
                    on_progress(file.size, file.size)
                return found
            await _verify(file, field)
            begun = self._wall()
            content = _Content(file, field)
            done = await self._transport.upload(content, on_progress=on_progress)
            upload = _upload(file, done.url, begun + done.lives)
            _log.info("uploaded %s bytes (%s)", file.size, file.media_type)
            self._keep(file.sha256, upload)
            await self._write(file, upload, ledger)
            return upload

    def _keep(self, digest: str, upload: Upload) -> None:
        self._known[digest] = upload
        self._known.move_to_end(digest)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def _lives(self, expires: float) -> bool:
        return expires - _MARGIN > self._wall()

    def _recall(self, file: LocalFile) -> Upload | None:
        found = self._known.get(file.sha256)
        if found is None or not self._lives(found.expires_at.timestamp()):
            return None
        self._known.move_to_end(file.sha256)
        return found

    # -- in the ledger -----------------------------------------------------------------

    def _shelf(self, file: LocalFile) -> str:
        return f"uploads {file.sha256[:2]} of {self._name}"

    async def _entries(self, file: LocalFile, ledger: Ledger) -> dict[str, tuple[str, float]]:
        """What the ledger has of the uploads beside this one, the dead ones left out."""
        known = await ledger.recall(self._shelf(file))
        found: dict[str, tuple[str, float]] = {}
        for digest, entry in known.items() if isinstance(known, Mapping) else ():
            match entry:
                case [str(url), int() | float() as expires] if self._lives(expires):
                    found[digest] = (url, float(expires))
        return found

    async def _read(self, file: LocalFile, ledger: Ledger | None) -> Upload | None:
        if ledger is None:
            return None
        entry = (await self._entries(file, ledger)).get(file.sha256)
        if entry is None:
            return None
        url, expires = entry
        upload = _upload(file, url, expires)
        self._keep(file.sha256, upload)
        return upload

    async def _write(self, file: LocalFile, upload: Upload, ledger: Ledger | None) -> None:
        if ledger is None:
            return
        entries = await self._entries(file, ledger)
        entries[file.sha256] = (upload.url, upload.expires_at.timestamp())
        newest = sorted(entries.items(), key=lambda item: item[1][1])[-_KEPT:]
        value: dict[str, JsonValue] = {digest: list(entry) for digest, entry in newest}
        try:
            await ledger.remember(self._shelf(file), value)
        except LedgerError as error:
            _log.warning("an upload is not remembered: %s", error)


def _upload(file: LocalFile, url: str, expires: float) -> Upload:
    from .._requests import Upload  # whoever uploads nothing does not pay for it

    return Upload(url, datetime.fromtimestamp(expires, UTC), file.size, file.media_type)


class _Content:
    """A local file as the transport sends it."""

    def __init__(self, file: LocalFile, field: str) -> None:
        self._file = file
        self._field = field
        self.name = file.upload_name
        self.media_type = file.media_type
        self.size = file.size

    def chunks(self) -> Iterator[bytes]:
        """The bytes; the last piece is held back until all are those that were checked."""
        digest, held, count = hashlib.sha256(), b"", 0
        for piece in self._pieces():
            digest.update(piece)
            count += len(piece)
            if count > self.size:
                raise _changed(self._file, self._field)
            if held:
                yield held
            held = piece
        if count != self.size or digest.hexdigest() != self._file.sha256:
            raise _changed(self._file, self._field)
        yield held

    def _pieces(self) -> Iterator[bytes]:
        if self._file.content is not None:
            content = self._file.content
            for start in range(0, len(content), _PIECE):
                yield content[start : start + _PIECE]
            return
        try:
            with Path(self._file.path or "").open("rb") as stream:
                while piece := stream.read(_PIECE):
                    yield piece
        except OSError as error:
            raise _unreadable(self._file, self._field, error) from None


async def _verify(file: LocalFile, field: str) -> None:
    """Reads the file through, a piece at a time, before anything is asked for."""
    if file.content is not None:
        return
    if file.path is None:
        allowed = "a file; an open one without a name is not kept from run to run: give it again"
        raise InvalidRequestError.of([Problem(field, "", allowed)])
    digest, stream = hashlib.sha256(), None
    try:
        stream = Path(file.path).open("rb")  # noqa: ASYNC230, SIM115 - local, in small pieces
        while piece := stream.read(_READ):
            digest.update(piece)
            await anyio.lowlevel.checkpoint()
    except OSError as error:
        raise _unreadable(file, field, error) from None
    finally:
        if stream is not None:
            stream.close()
    if digest.hexdigest() != file.sha256:
        raise _changed(file, field)


def _changed(file: LocalFile, field: str) -> InvalidRequestError:
    allowed = "the file as it was when the request was made; it has changed since"
    return InvalidRequestError.of([Problem(field, repr(file.shown), allowed)])


def _unreadable(file: LocalFile, field: str, error: OSError) -> InvalidRequestError:
    reason = error.strerror or type(error).__name__
    allowed = f"a file that can be read ({reason[:1].lower()}{reason[1:]})"
    return InvalidRequestError.of([Problem(field, repr(file.shown), allowed)])
