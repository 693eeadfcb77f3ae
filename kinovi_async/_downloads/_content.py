"""What a file is, by its first bytes: which media type, which extension, or no media at all.

Bytes win over what a server says about them. A page of HTML or a JSON error that came
with status 200 is no picture; everything else is kept, for the result is paid for.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from .._sniffing import sniff

__all__ = [
    "HEAD_BYTES",
    "UNKNOWN_EXTENSION",
    "check_content",
    "declared_type",
    "expected_type",
    "extension_for",
    "is_media_extension",
    "looks_like_html",
    "media_type_of",
    "same_format",
    "sniff",
]

HEAD_BYTES = 1024
"""Bytes looked at; every signature ends well before."""
UNKNOWN_EXTENSION = ".bin"
"""For a file of which nothing is known."""

# No `.svg`: a drawing may hold a script, which runs in whoever opens it.
_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/bmp": ".bmp",
    "image/tiff": ".tiff",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "audio/aac": ".aac",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "application/json": ".json",
    "text/plain": ".txt",
}
# Other names of the same types, in the wild.
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/heif": "image/heic",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "audio/x-flac": "audio/flac",
    "video/x-m4v": "video/mp4",
}
# Other spellings of the same extensions.
_SPELLINGS = {".jpeg": ".jpg", ".tif": ".tiff", ".m4v": ".mp4"}
_URL_EXTENSIONS = frozenset({*_EXTENSIONS.values(), *_SPELLINGS})
_MEDIA_KINDS = ("image", "video", "audio")

_PROLOG = re.compile(r"\s*(?:<\?xml.*?\?>|<!--.*?-->|\s)*", re.DOTALL)
_HTML = re.compile(
    r"<(?:!--|!doctype\s+html|(?:html|head|body|title|script|style|meta|link|iframe|table|div"
    r"|center|h1|h2|p|a|br|font)\b)",
    re.IGNORECASE,
)
_JSON = re.compile(r"[{\[]\s*[\"{}\[\]]")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def looks_like_html(first_bytes: bytes) -> bool:
    """Whether the first bytes are those of a web page, in UTF-8 or UTF-16."""
    text = _text(first_bytes)
    return text is not None and _HTML.match(text) is not None


def check_content(declared: str | None, head: bytes) -> str | None:
    """Why a file's first bytes cannot be the result, or None when they may well be.

    Args:
        declared: What the file should be: a media type, or only its kind (`image`,
            `video`, `audio`). None, or a type that is no media, refuses web pages only.
        head: The first bytes, up to 1,024.
    """
    kind, _, subtype = (declared or "").partition("/")
    if not head:
        return "the file is empty"
    text = None if sniff(head) is not None else _text(head)
    if text is None:
        return None
    page = _page_in(text, kind)
    if page is None or (page == "web page" and subtype in {"html", "xhtml+xml"}):
        return None
    wanted = {"image": "an image", "video": "a video", "audio": "a sound file"}
    return f"the host sent a {page}, not {wanted.get(kind, 'a result file')}"


def _page_in(text: str, kind: str) -> str | None:
    """Which kind of page a text is that is no result of this kind."""
    if _HTML.match(text):
        return "web page"
    if kind not in _MEDIA_KINDS:
        return None
    if _JSON.match(text):
        return "JSON text"
    drawing = kind == "image" and "<svg" in text.lower()
    return "page of XML" if text.startswith("<") and not drawing else None


def _text(head: bytes) -> str | None:
    """The first bytes as text, without what may stand before its start; None when binary."""
    encoding = "utf-8"
    for mark, name in _BOMS:
        if head.startswith(mark):
            head, encoding = head[len(mark) :], name
            break
    # The last character may be cut in two; an error page may be in any 8-bit coding, and
    # only control characters tell binary data from text.
    text = head.decode(encoding, errors="replace")
    if any(char < " " and char not in "\t\n\r\f\x1b" for char in text):
        return None
    found = _PROLOG.match(text)
    return text[found.end() :] if found else text


def media_type_of(content_type: str | None) -> str | None:
    """A Content-Type or declared type in its usual spelling; None for none or a useless one."""
    name = (content_type or "").split(";", 1)[0].strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in _EXTENSIONS else None


def declared_type(content_type: str | None, expected: str | None) -> str | None:
    """The type of a file whose bytes tell nothing: the host's word, unless it is no media type."""
    said, expected = media_type_of(content_type), media_type_of(expected)
    if said is not None and said.partition("/")[0] in _MEDIA_KINDS:
        return said
    return expected or said


def expected_type(declared: str | None, url: str) -> str | None:
    """What a file should be: as declared, else as its address's extension says."""
    if declared and declared.partition("/")[0].lower() != "application":
        return declared.lower()
    extension = extension_for(None, url)
    spelled = _SPELLINGS.get(extension, extension)
    return next((name for name, known in _EXTENSIONS.items() if known == spelled), declared)


def extension_for(media_type: str | None, url: str) -> str:
    """The extension with its dot: by the media type, else by the address, else `.bin`.

    Only extensions of media come out: a server cannot have a program saved.
    """
    known = media_type_of(media_type)
    if known is not None:
        return _EXTENSIONS[known]
    try:
        path = urlsplit(url).path
    except ValueError:
        return UNKNOWN_EXTENSION
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    found = f"{dot}{extension}".lower()
    return found if found in _URL_EXTENSIONS else UNKNOWN_EXTENSION


def is_media_extension(extension: str) -> bool:
    """Whether an extension (with its dot, any case) is one that files are saved under."""
    return extension.lower() in _URL_EXTENSIONS


def same_format(one: str, other: str) -> bool:
    """Whether two extensions are spellings of one: `.JPEG` and `.jpg`."""
    one, other = one.lower(), other.lower()
    return _SPELLINGS.get(one, one) == _SPELLINGS.get(other, other)
