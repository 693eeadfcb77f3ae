"""What a media file is, by its first bytes."""

from __future__ import annotations

__all__ = ["sniff"]

# Signatures at the very start: the registered magic numbers of each format.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
# The second word of a RIFF file, and the brands of ISO media files (ISO/IEC 14496-12).
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic",
    b"hevx": "image/heic",
    b"hevm": "image/heic",
    b"hevs": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
    b"miaf": "image/heic",
    b"crx ": "image/x-canon-cr3",
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"M4P ": "audio/mp4",
    b"F4A ": "audio/mp4",
}
# Many programs (recorders of phones, converters) give sound a brand of no kind: `isom`,
# `mp42`, `dash`. Then only the file's name tells.
_SOUND_NAMES = (".m4a", ".m4b")
# QuickTime files older than the ftyp box start with one of these.
_QUICKTIME_BOXES = frozenset({b"moov", b"mdat", b"wide", b"pnot", b"free", b"skip"})


def sniff(first_bytes: bytes, name: str = "") -> str | None:
    """The media type that the first bytes show, None when they show none.

    An MP4 file may hold sound alone: where its brand does not tell, its `name` does.
    """
    found = _sniff(first_bytes)
    if found == "video/mp4" and name.lower().endswith(_SOUND_NAMES):
        return "audio/mp4"
    return found


def _sniff(first_bytes: bytes) -> str | None:
    for magic, media_type in _MAGIC:
        if first_bytes.startswith(magic):
            return media_type
    if first_bytes.startswith((b"RIFF", b"RF64")):  # RF64: WAV of 64 bits (EBU Tech 3306)
        return _RIFF.get(first_bytes[8:12])
    if first_bytes.startswith(b"\x1aE\xdf\xa3"):  # EBML: the document type is in its head
        return "video/webm" if b"webm" in first_bytes[:64] else "video/x-matroska"
    if first_bytes.startswith(b"BM") and first_bytes[6:10] == bytes(4):
        return "image/bmp"
    return _sniff_boxes(first_bytes) or _sniff_mpeg_audio(first_bytes)


def _sniff_boxes(head: bytes) -> str | None:
    box = head[4:8]
    if box == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    return "video/quicktime" if box in _QUICKTIME_BOXES else None


def _sniff_mpeg_audio(head: bytes) -> str | None:
    # A frame's sync word. Layer 0 is AAC's ADTS; 0xff 0xfe, the mark of UTF-16 text, is
    # layer 1, which nobody sends.
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - two bytes
        return None
    if head[1] & 0xF6 == 0xF0:  # noqa: PLR2004 - twelve bits of sync, layer 0
        return "audio/aac"
    return "audio/mpeg" if head[1] & 0x06 in {0x02, 0x04} else None
