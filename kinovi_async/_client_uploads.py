"""What a client does with local files: uploads them, and puts their addresses into a body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ._account import Account, Book
from ._connection import Connection
from ._requests import as_request, encode_body, with_callback

if TYPE_CHECKING:
    from ._requests import FileSource, LocalFile, Request, Upload

__all__ = ["ClientUploads"]


class ClientUploads(Connection):
    """The part of `AsyncKinovi` that uploads."""

    @property
    def _place_of_work(self) -> tuple[Account, Book]:
        return self._shared.account, self._shared.book

    async def upload(
        self, file: FileSource, *, on_progress: Callable[[int, int], None] | None = None
    ) -> Upload:
        """Uploads a local file, for references of any request in the next 24 hours.

        POST /uploads with the key, then a PUT of the bytes to the signed address without
        it, in pieces. A content that was uploaded before, by this client or by any that
        works in its ledger, is not sent again while it lives (an hour is kept in reserve).
        Requests take paths and open files by themselves: this is for those who want to
        see it happen.

        Cancellation: the upload is broken off; nothing is paid for uploads.

        Args:
            file: A path, or a file opened for reading bytes: an image (JPEG, PNG, WebP),
                a video (MP4, MOV, WebM) or audio (MP3, WAV, M4A, AAC, OGG, FLAC).
            on_progress: Called with the bytes handed over and their total. What it raises
                ends the upload.

        Raises:
            InvalidRequestError: it is no such file, or changed on its way.
            UploadError: the storage host refused it.
            APIError: the API gave no place for it, after `max_retries` repetitions.
        """
        from ._requests import file_to_upload

        self._check_open()
        return await self._upload(file_to_upload(file), on_progress=on_progress)

    async def _upload(
        self,
        file: LocalFile,
        *,
        field: str = "file",
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Upload:
        account, book = self._place_of_work
        assert account.uploads is not None  # noqa: S101 - set where the account is made
        ledger = book.ledger if book.durable else None
        if ledger is not None:
            await ledger.open()
        return await account.uploads.ensure(file, ledger, field=field, on_progress=on_progress)

    async def _body_of(
        self, request: Request | Mapping[str, object], callback_url: str | None
    ) -> bytes:
        """The body of a createTask, its local files uploaded."""
        generation = self._place_of_work[0].api_generation
        request = as_request(request, api_generation=generation)
        if callback_url is not None:
            request = with_callback(request, callback_url)
        addresses: dict[str, str] = {}
        for file in request.files:
            upload = await self._upload(file, field=request.place_of(file))
            addresses[file.sha256] = upload.url
        return encode_body(request.to_wire(api_generation=generation, uploaded=addresses))
