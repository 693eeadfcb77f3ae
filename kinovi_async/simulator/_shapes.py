"""What a task of a model produces and how long it takes: files, sizes, seconds.

Sizes are those the API's documents state; where they state none (NanoBanana 2) the
tiers of a neighbouring model stand in, and a model known by its id alone gets the
sizes of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Literal

from .._requests import describe

MediaKind = Literal["image", "video"]
Size = tuple[int, int]

# Seedance at 720p, the tier of the seeds' prices. 4K is this times three: the
# documents give 3840x2160 for 16:9 and nothing for the other ratios.
_VIDEO: Final[Mapping[str, Size]] = MappingProxyType(
    {
        "16:9": (1280, 720),
        "9:16": (720, 1280),
        "1:1": (960, 960),
        "4:3": (1112, 834),
        "3:4": (834, 1112),
        "21:9": (1470, 630),
    }
)
_UPSCALE: Final = 3
_MIDJOURNEY: Final[Mapping[str, Size]] = MappingProxyType(
    {
        "1:1": (1024, 1024),
        "3:2": (1344, 896),
        "2:3": (896, 1344),
        "4:3": (1232, 928),
        "3:4": (928, 1232),
        "4:5": (960, 1200),
        "5:4": (1200, 960),
        "16:9": (1456, 816),
        "9:16": (816, 1456),
        "21:9": (1680, 720),
    }
)
# The 1k tier the documents give for the GPT Image family; 2k and 4k are its multiples.
_IMAGE_1K: Final[Mapping[str, Size]] = MappingProxyType(
    {
        "1:1": (1024, 1024),
        "4:3": (1184, 896),
        "3:4": (896, 1184),
        "16:9": (1376, 768),
        "9:16": (768, 1376),
    }
)
_TIERS: Final[Mapping[str, int]] = MappingProxyType({"1k": 1, "2k": 2, "4k": 4})
_LONGEST_VIDEO: Final = 30
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a model: its kind, its usual time and how many files it makes."""

    kind: MediaKind
    seconds: tuple[float, float]
    """From acceptance to the end, lowest and highest, in seconds."""
    count: int = 1
    """Files per task."""


# Models that the API's later documents name and this package does not describe: they
# are taken with any inputs. The seconds are those documents' figures, or near ones.
UNDESCRIBED: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "seedance2.0-mini": Profile("video", (120.0, 360.0)),
        "seedance2-5": Profile("video", (180.0, 360.0)),
        "seedance2-5-edit": Profile("video", (240.0, 360.0)),
        "seedance2-5-extend": Profile("video", (240.0, 360.0)),
        "wan3.0-text-to-video": Profile("video", (170.0, 190.0)),
        "wan3.0-image-to-video": Profile("video", (120.0, 180.0)),
        "wan3.0-ref-to-video": Profile("video", (180.0, 360.0)),
        "wan3.0-prime-text-to-video": Profile("video", (80.0, 100.0)),
        "wan3.0-prime-image-to-video": Profile("video", (50.0, 70.0)),
        "wan3.0-prime-ref-to-video": Profile("video", (120.0, 180.0)),
        "nanobanana-pro": Profile("image", (20.0, 60.0)),
        "seedream-5.0-pro": Profile("image", (30.0, 90.0)),
        "gpt-image-2": Profile("image", (20.0, 40.0)),
        "gpt-image-2.5-flare": Profile("image", (20.0, 60.0)),
        "gpt-image-2.5-sunburst": Profile("image", (30.0, 90.0)),
    }
)
NOMINAL_PRICE: Final[Mapping[MediaKind, Decimal]] = MappingProxyType(
    {
        "image": Decimal(15),
        "video": Decimal(200),
    }
)
"""Credits per task where no price can be computed: a 2k picture's, a 5 s video's."""


def profile_of(model: str) -> Profile | None:
    """What is known of a model; None for an id that no document names."""
    described = describe(model)
    if described is None:
        return UNDESCRIBED.get(model)
    return Profile(described.kind, described.typical_seconds, described.outputs)


@dataclass(frozen=True, slots=True)
class Shape:
    """The files one task produces."""

    kind: MediaKind
    width: int
    """Pixels, of the record and of the file alike."""
    height: int
    count: int
    seconds: int = 0
    """Length of a video; 0 for a picture."""

    @property
    def extension(self) -> str:
        """The files' extension, without the dot."""
        return "mp4" if self.kind == "video" else "png"

    @property
    def media_type(self) -> str:
        """The files' MIME type."""
        return "video/mp4" if self.kind == "video" else "image/png"


def shape_of(model: str, profile: Profile, inputs: Mapping[str, object]) -> Shape:
    """The files that a task of this model with these inputs produces."""
    ratio = inputs.get("aspectRatio")
    if profile.kind == "video":
        width, height = _size(_VIDEO, ratio, "16:9")
        factor = _UPSCALE if inputs.get("upscaleResolution") == "4k" else 1
        return Shape("video", width * factor, height * factor, 1, _video_seconds(inputs))
    if model.startswith("midjourney"):
        return Shape("image", *_size(_MIDJOURNEY, ratio, "1:1"), profile.count)
    width, height = _size(_IMAGE_1K, ratio, "3:4" if model == "nanobanana2" else "1:1")
    default = "2k" if model == "nanobanana2" else "1k"
    resolution = inputs.get("resolution")
    factor = _TIERS[resolution if isinstance(resolution, str) and resolution in _TIERS else default]
    return Shape("image", width * factor, height * factor, profile.count)


def _size(sizes: Mapping[str, Size], ratio: object, default: str) -> Size:
    return sizes[ratio if isinstance(ratio, str) and ratio in sizes else default]


def _video_seconds(inputs: Mapping[str, object]) -> int:
    """The wished length in whole seconds: a number or its text, 5 when there is none."""
    given = inputs.get("duration")
    if isinstance(given, str) and given.isascii() and given.isdecimal() and len(given) < _DIGITS:
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        return 5
    return min(max(given, 1), _LONGEST_VIDEO)
