"""Pixels of outputs, as the documents state them, by resolution and aspect ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Width and height by tier and aspect ratio."""

    table: Mapping[str, Mapping[str, Size]]
    ratio: str
    """The ratio when none, or an unknown one, is given."""
    tier: str
    """The tier when none is given."""

    def size(self, tier: object, ratio: object) -> Size:
        """Pixels of an output; what the table lacks is taken at the defaults."""
        row = self.table.get(tier if isinstance(tier, str) else self.tier) or self.table[self.tier]
        found = row.get(ratio) if isinstance(ratio, str) else None
        return found or row[self.ratio]


def _turned(landscape: Mapping[str, Size]) -> Mapping[str, Size]:
    """Also the upright ratios of the wide ones."""
    upright = {
        ":".join(reversed(ratio.split(":"))): (height, width)
        for ratio, (width, height) in landscape.items()
        if ratio != "21:9"
    }
    return MappingProxyType({**landscape, **upright})


def _times(row: Mapping[str, Size], factor: int) -> Mapping[str, Size]:
    sizes = {ratio: (width * factor, height * factor) for ratio, (width, height) in row.items()}
    return MappingProxyType(sizes)


_720P = _turned({"16:9": (1280, 720), "4:3": (1112, 834), "1:1": (960, 960), "21:9": (1470, 630)})
_1080P = _turned(
    {"16:9": (1920, 1080), "4:3": (1664, 1248), "1:1": (1440, 1440), "21:9": (2206, 946)}
)
# 4k is stated for 16:9 alone, as three times 720p; the other ratios follow it.
_4K = _times(_720P, 3)
_480P_SQUARES: Final = {"4:3": (752, 560), "1:1": (640, 640), "21:9": (992, 432)}
_480P_20 = _turned({"16:9": (864, 496), **_480P_SQUARES})
_480P_25 = _turned({"16:9": (854, 480), **_480P_SQUARES})

SEEDANCE_20: Final = Sizes(
    MappingProxyType({"480p": _480P_20, "720p": _720P, "1080p": _1080P, "4k": _4K}),
    ratio="16:9",
    tier="720p",
)
SEEDANCE_25: Final = Sizes(
    MappingProxyType({"480p": _480P_25, "720p": _720P, "1080p": _1080P}), ratio="16:9", tier="720p"
)
"""Also Wan's, of which the documents state the 480p of 16:9 alone."""

MIDJOURNEY: Final = Sizes(
    MappingProxyType(
        {
            "": _turned(
                {
                    "1:1": (1024, 1024),
                    "3:2": (1344, 896),
                    "4:3": (1232, 928),
                    "5:4": (1200, 960),
                    "16:9": (1456, 816),
                    "21:9": (1680, 720),
                }
            )
        }
    ),
    ratio="1:1",
    tier="",
)

# The 1k tier as stated for GPT Image 2.5; the larger tiers are its multiples, and the
# other families, of which nothing is stated, follow it. 3:2 and 21:9 are Seedream's.
_1K = _turned(
    {
        "1:1": (1024, 1024),
        "4:3": (1184, 896),
        "16:9": (1376, 768),
        "3:2": (1264, 848),
        "21:9": (1584, 672),
    }
)
_IMAGES: Final = MappingProxyType({"1k": _1K, "2k": _times(_1K, 2), "4k": _times(_1K, 4)})
NANOBANANA: Final = Sizes(_IMAGES, ratio="3:4", tier="2k")
SEEDREAM: Final = Sizes(_IMAGES, ratio="1:1", tier="2k")
GPT_IMAGE: Final = Sizes(_IMAGES, ratio="1:1", tier="1k")
