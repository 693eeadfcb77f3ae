"""Pictures: a gradient in colours of the task's own, with the prompt written on it.

Drawn with a palette of 256 colours: a byte a pixel keeps even a 4k picture quick to
draw and to pack. 240 entries are the gradient, the last 16 the ramp from the panel's
colour to the text's, which smooths the letters' edges.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw, ImageFont

_SHADES: Final = 240
_RAMP: Final = 16
_PANEL: Final = (18, 20, 32)
_INK: Final = (250, 246, 238)
_LONGEST_TEXT: Final = 1200
"""Characters of the prompt that are looked at; the panel holds fewer."""
_MOST_LINES: Final = 9
_STYLES: Final = ("down", "across", "aslant", "round")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def picture(
    width: int, height: int, prompt: str, footer: str, *, name: str, jpeg: bool = False
) -> bytes:
    """A PNG or JPEG of exactly this size, 64 pixels a side at least; `name` decides the colours."""
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
    image = _background(width, height, _STYLES[digest[0] % len(_STYLES)])
    image.putpalette(_palette(digest))
    _write(image, shown(prompt), shown(footer))
    file = io.BytesIO()
    if jpeg:
        image.convert("RGB").save(file, "JPEG", quality=80)
        return file.getvalue()
    # Level 1: a gradient packs well at any level, and this one is several times faster.
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def shown(text: str) -> str:
    """The text with everything that cannot be drawn in one line replaced."""
    kept = (
        " "
        if character.isspace()
        else "\ufffd"
        if unicodedata.category(character)[0] == "C"
        else character
        for character in text[:_LONGEST_TEXT]
    )
    return " ".join("".join(kept).split())


def _background(width: int, height: int, style: str) -> Image.Image:
    """A gradient of palette entries 0 to 239: down, across, aslant or round."""
    ramp = Image.linear_gradient("L")
    if style == "down":
        small = ramp
    elif style == "across":
        small = ramp.transpose(Image.Transpose.ROTATE_90)
    elif style == "aslant":
        small = Image.blend(ramp, ramp.transpose(Image.Transpose.ROTATE_90), 0.5)
    else:
        small = Image.radial_gradient("L")
    small = small.point([shade * (_SHADES - 1) // 255 for shade in range(256)])
    full = small.resize((width, height), Image.Resampling.BILINEAR)
    return Image.frombytes("P", (width, height), full.tobytes())


def _palette(digest: bytes) -> bytes:
    """Three neighbouring hues, dark to light, then the ramp of the letters."""
    hue = digest[1] / 256
    step = 0.06 + digest[2] / 256 * 0.12
    stops = [
        colorsys.hls_to_rgb(hue, 0.24, 0.42),
        colorsys.hls_to_rgb((hue + step) % 1, 0.48, 0.42),
        colorsys.hls_to_rgb((hue + 2 * step) % 1, 0.78, 0.62),
    ]
    colours = bytearray()
    for shade in range(_SHADES):
        place = shade / (_SHADES - 1) * 2
        low = min(int(place), 1)
        part = place - low
        colours += bytes(
            round(255 * (a + (b - a) * part))
            for a, b in zip(stops[low], stops[low + 1], strict=True)
        )
    for level in range(_RAMP):
        part = level / (_RAMP - 1)
        colours += bytes(round(a + (b - a) * part) for a, b in zip(_PANEL, _INK, strict=True))
    return bytes(colours)


@lru_cache(maxsize=32)
def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _write(image: Image.Image, text: str, footer: str) -> None:
    """A panel in the lower part with the text and, smaller, the footer."""
    width, height = image.size
    unit = max(10, min(width, height) // 24)
    font, small = _font(unit), _font(max(9, unit * 5 // 8))
    margin, padding = unit, unit * 4 // 5
    inner = width - 2 * margin - 2 * padding
    rows = max(1, min(_MOST_LINES, (height - 2 * margin - 4 * unit) // (unit * 4 // 3)))
    lines = wrapped(text, font, inner, rows)
    line_height = unit * 4 // 3
    footer_line = wrapped(footer, small, inner, 1)[:1]
    tall = 2 * padding + len(lines) * line_height + unit * 9 // 8
    top = height - margin - tall
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(
        (margin, top, width - margin, height - margin), radius=unit // 2, fill=_SHADES
    )
    # The letters are drawn as grey, then reduced to the ramp's 16 steps.
    area = (margin + padding, top + padding, width - margin - padding, height - margin - padding)
    letters = Image.new("L", (max(1, area[2] - area[0]), max(1, area[3] - area[1])), 0)
    pen = ImageDraw.Draw(letters)
    for row, line in enumerate(lines):
        pen.text((0, row * line_height), line, fill=255, font=font)
    for line in footer_line:
        pen.text((0, len(lines) * line_height + unit // 4), line, fill=170, font=small)
    ramp = letters.point([_SHADES + grey * (_RAMP - 1) // 255 for grey in range(256)])
    image.paste(Image.frombytes("P", ramp.size, ramp.tobytes()), area[:2])


def wrapped(text: str, font: Font, width: int, rows: int) -> list[str]:
    """The text in at most `rows` lines of at most `width` pixels; an ellipsis ends a cut one."""
    lines: list[str] = []
    line = ""
    for piece in _pieces(text, font, width):
        joined = piece if not line else line + piece
        if not line or font.getlength(joined) <= width:
            line = joined
            continue
        if len(lines) == rows - 1:
            lines.append(_ellipsis(line, font, width))
            return lines
        lines.append(line.rstrip())
        line = piece.lstrip()
    if line:
        lines.append(line.rstrip())
    return lines


def _pieces(text: str, font: Font, width: int) -> Iterator[str]:
    """Words with the space before them; a word too long for a line comes in parts."""
    for number, word in enumerate(text.split(" ")):
        piece = word if number == 0 else " " + word
        while len(piece) > 1 and font.getlength(piece) > width:
            # A first guess from the mean width of a letter, then one letter at a time.
            cut = max(1, min(len(piece) - 1, int(len(piece) * width / font.getlength(piece))))
            while cut > 1 and font.getlength(piece[:cut]) > width:
                cut -= 1
            yield piece[:cut]
            piece = piece[cut:]
        if piece:
            yield piece


def _ellipsis(line: str, font: Font, width: int) -> str:
    line = line.rstrip()
    while line and font.getlength(line + "…") > width:
        line = line[:-1].rstrip()
    return line + "…"
