"""The files of tasks: drawn when they are first asked for, kept while there is room."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from ._movies import film
from ._pictures import picture, shown
from ._tasks import SimulatedTask

_ROOM: Final = 32 * 1024 * 1024
"""Bytes of drawn files that are kept; a 2k picture takes about 60 kB, a video 30 kB."""


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file with what HTTP wants to know of it."""

    content: bytes
    media_type: str
    etag: str
    """With its quotation marks."""


def draw(task: SimulatedTask, number: int) -> MediaFile:
    """The n-th file (from 0) of a task, its last frame after them; always the same bytes."""
    shape = task.request.shape
    size = f"{shape.width}x{shape.height}"
    media_type = shape.media_type
    if shape.kind == "video" and number < shape.count:
        note = f"kinovi simulator, {task.id}: {shown(task.request.prompt)}"
        brand = "qt  " if media_type == "video/quicktime" else None
        content = film(shape.width, shape.height, shape.seconds, note, brand=brand)
    else:
        which = f", {number + 1} of {shape.count}" if shape.count > 1 else ""
        if number >= shape.count:
            which, media_type = ", last frame", "image/png"
        footer = f"{task.request.model}, {size}{which}, simulated"
        name = f"{task.request.prompt}\n{task.id}\n{number}"
        content = picture(
            shape.width,
            shape.height,
            task.request.prompt,
            footer,
            name=name,
            jpeg=media_type == "image/jpeg",
        )
    digest = hashlib.blake2b(content, digest_size=12).hexdigest()
    return MediaFile(content, media_type, f'"{digest}"')


class MediaStore:
    """Drawn files, the least recently wanted dropped first. Safe from several threads."""

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._taken = 0
        self._files: OrderedDict[tuple[str, int], MediaFile] = OrderedDict()
        self._lock = threading.Lock()

    def kept(self, task: SimulatedTask, number: int) -> MediaFile | None:
        """The file when it is there already."""
        with self._lock:
            key = (task.id, number)
            if key not in self._files:
                return None
            self._files.move_to_end(key)
            return self._files[key]

    def drawn(self, task: SimulatedTask, number: int) -> MediaFile:
        """The file, drawn now; tens of milliseconds of CPU for a large picture."""
        file = draw(task, number)
        with self._lock:
            key = (task.id, number)
            if key not in self._files:
                self._files[key] = file
                self._taken += len(file.content)
            while self._taken > self._room:
                _, dropped = self._files.popitem(last=False)
                self._taken -= len(dropped.content)
        return file

    def clear(self) -> None:
        """Drops every file."""
        with self._lock:
            self._files.clear()
            self._taken = 0
