"""What may be asked of the API: typed requests, their checks, prices and the model catalogue."""

from __future__ import annotations

from ._base import Request, body_hash, encode_body
from ._catalog import MODELS, ModelDescription, describe
from ._checking import with_callback
from ._fields import FieldDescription, fields_of
from ._generation import Generation
from ._midjourney import Midjourney
from ._nanobanana import NanoBanana2
from ._parse import as_request, parse_request, restore_request
from ._prices import CREDIT_USD
from ._references import Image, Video
from ._seedance import ImageToVideo, OmniReference, TextToVideo

__all__ = [
    "CREDIT_USD",
    "MODELS",
    "FieldDescription",
    "Generation",
    "Image",
    "ImageToVideo",
    "Midjourney",
    "ModelDescription",
    "NanoBanana2",
    "OmniReference",
    "Request",
    "TextToVideo",
    "Video",
    "as_request",
    "body_hash",
    "describe",
    "encode_body",
    "fields_of",
    "parse_request",
    "restore_request",
    "with_callback",
]
