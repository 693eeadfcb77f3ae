"""How records and outcomes look in a notebook: what they say, and their pictures.

A file that `client.download` saved in this process is shown from the disk: small pictures
stand in the cell itself, so that the notebook keeps them when the server does not any more;
larger files are pointed to where the notebook may reach them. Everything else the page
fetches from the result host, as long as it is there. Everything is escaped, addresses other
than http(s) are never linked or loaded, and a cell stays small whatever a server sends. No
script, no style sheet, no template engine.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from ._outcomes import Outcome
    from ._records import Output, TaskRecord

__all__ = ["outcome_html", "record_html", "saved"]

MOST_PICTURES = 8
"""A set of four fits twice; a notebook of a hundred outcomes must still open."""
LONGEST_TEXT = 600
"""Characters of a prompt or an error."""
LONGEST_URL = 4_000
"""Characters; browsers and notebooks cut or refuse much longer ones."""
LARGEST_PICTURE = 500_000
"""Bytes of a file that stands in the cell: a picture of a megapixel or two as JPEG or WebP."""
LARGEST_CELL = 1_500_000
"""Bytes of all of them together; Jupyter holds back what comes faster than 1 MB a second."""
MOST_SAVED = 2_000
"""Tasks whose files are remembered, the last ones."""

# By name as `client.download` chose it, which looks at the content; never SVG or HTML.
_EMBEDDED = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
}
_VIDEO = (".mp4", ".m4v", ".mov", ".webm")
_AUDIO = (".mp3", ".wav", ".ogg", ".m4a")
_FRAME = "font:13px/1.5 system-ui,sans-serif;max-width:960px"
_ROW = "display:flex;flex-wrap:wrap;gap:8px;margin:8px 0"
_MEDIA = "max-height:220px;max-width:100%;object-fit:contain;border-radius:4px"
_MUTED = "opacity:.7"

_files: OrderedDict[str, tuple[Path, ...]] = OrderedDict()


def saved(task_id: str, paths: Sequence[Path]) -> None:
    """Remembers where a task's files are, in its outputs' order."""
    if not task_id:
        return
    _files[task_id] = tuple(path.absolute() for path in paths)
    _files.move_to_end(task_id)
    while len(_files) > MOST_SAVED:
        _files.popitem(last=False)


def record_html(record: TaskRecord) -> str:
    """A task's record: status, model, credits, times, the error, the pictures."""
    facts = [
        record.model,
        None if record.credits_used is None else f"{record.credits_used:f} credits",
        _took(record),
        record.task_id,
    ]
    error = None
    if record.error is not None:
        error = " ".join(filter(None, (record.error.code, record.error.message)))
    return _frame(
        _head(str(record.status), facts),
        _text(error),
        _pictures(record),
    )


def outcome_html(outcome: Outcome) -> str:
    """How a job ended: key, status, prompt, credits, the error, the pictures."""
    record = outcome.record
    model = outcome.request.model if outcome.request is not None else None
    facts = [
        outcome.key,
        model or (record.model if record is not None else None),
        None if outcome.credits is None else f"{outcome.credits:f} credits",
        None if record is None else _took(record),
        outcome.task_id,
    ]
    prompt = getattr(outcome.request, "prompt", None)
    return _frame(
        _head(str(outcome.status), facts),
        _text(prompt if isinstance(prompt, str) else None),
        _text(None if outcome.error is None else outcome.error.message),
        _text(outcome.download_error),
        "" if record is None else _pictures(record),
    )


def _frame(*parts: str) -> str:
    return f'<div style="{_FRAME}">{"".join(parts)}</div>'


def _head(status: str, facts: Iterable[str | None]) -> str:
    told = " · ".join(_escaped(fact, 120) for fact in facts if fact)
    return (
        f'<div><strong>{_escaped(status, 40)}</strong> <span style="{_MUTED}">{told}</span></div>'
    )


def _text(text: str | None) -> str:
    # A text's own direction marks end with its element.
    return f'<div dir="auto">{_escaped(text, LONGEST_TEXT)}</div>' if text else ""


def _pictures(record: TaskRecord) -> str:
    if not record.outputs:
        return ""
    files = _files.get(record.task_id, ())
    room = LARGEST_CELL
    pieces = []
    for place, output in enumerate(record.outputs[:MOST_PICTURES]):
        source = _local(files[place], room) if place < len(files) else None
        if source is None:
            pieces.append(_remote(output, place))
            continue
        room -= len(source) if source.startswith("data:") else 0
        pieces.append(_picture(source, _kind_of(files[place].name), output, place))
    shown = "".join(pieces)
    more = len(record.outputs) - MOST_PICTURES
    rest = f'<span style="{_MUTED}">and {more:,} more</span>' if more > 0 else ""
    expires = record.media_expires_at
    until = ""
    if expires is not None:
        until = f'<div style="{_MUTED}">on the server until {expires:%Y-%m-%d}</div>'
    return f'<div style="{_ROW}">{shown}{rest}</div>{until}'


def _local(path: Path, room: int) -> str | None:
    """A saved file as an address: its content, or its place beside the notebook."""
    try:
        size = path.stat().st_size if path.is_file() else 0
        mime = _EMBEDDED.get(path.suffix.lower())
        if size and mime is not None and size <= LARGEST_PICTURE and size * 4 // 3 < room:
            return f"data:{mime};base64,{b64encode(path.read_bytes()).decode()}"
        # Notebooks resolve addresses without a scheme against their own folder.
        return quote(path.relative_to(Path.cwd()).as_posix()) if size else None
    except (OSError, ValueError):  # gone, or not below the notebook
        return None


def _remote(output: Output, place: int) -> str:
    if not _is_web(output.url):
        return f"<code>{_escaped(output.url, 120)}</code>"
    told = (output.media_type or "").partition("/")[0].lower()
    known = told in {"video", "audio", "image"}
    kind = told if known else _kind_of(urlsplit(output.url).path)
    return _picture(output.url, kind, output, place)


def _picture(source: str, kind: str, output: Output, place: int) -> str:
    url = escape(source)
    if kind == "video":
        return f'<video src="{url}" controls muted preload="metadata" style="{_MEDIA}"></video>'
    if kind == "audio":
        return f'<audio src="{url}" controls preload="none"></audio>'
    size = "".join(_size(output))
    return (
        f'<img src="{url}" alt="output {place + 1}" loading="lazy" referrerpolicy="no-referrer"'
        f'{size} style="{_MEDIA};width:auto;height:auto">'
    )


def _size(output: Output) -> Iterator[str]:
    if output.width and output.height:
        yield f' width="{output.width}" height="{output.height}"'


def _kind_of(name: str) -> str:
    lower = name.lower()
    return "video" if lower.endswith(_VIDEO) else "audio" if lower.endswith(_AUDIO) else "image"


def _is_web(url: str) -> bool:
    if len(url) > LONGEST_URL:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _took(record: TaskRecord) -> str | None:
    if record.created_at is None or record.completed_at is None:
        return None
    seconds = (record.completed_at - record.created_at).total_seconds()
    return f"{seconds:,.0f} s" if seconds >= 0 else None


def _escaped(text: str, limit: int) -> str:
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return escape(shown.encode("utf-8", "replace").decode())
