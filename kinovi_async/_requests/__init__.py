"""What may be asked of the API: typed requests, their checks, prices and the model catalogue.

Names are imported when they are first used: whoever makes a client pays for no class.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._bodies import body_hash, encode_body
from ._entry import (
    as_request,
    describe,
    is_request,
    restore_request,
    settle_delay,
    with_callback,
)
from ._failures import Advice, FailureGroup, advice
from ._generations import GENERATIONS, LATER, SEED, ApiGeneration, check_generation

if TYPE_CHECKING:
    from ._base import Request
    from ._catalog import MODELS
    from ._description import ModelDescription, Terms
    from ._fields import FieldDescription, fields_of, input_fields, wire_fields
    from ._files import FileSource, LocalFile, Upload, file_to_upload, spelt
    from ._generation import Generation
    from ._gpt_image import GptImage2, GptImage25
    from ._local import with_local_files
    from ._midjourney import Midjourney
    from ._nanobanana import NanoBanana2, NanoBananaPro
    from ._parse import parse_request
    from ._prices import CREDIT_USD, credit_usd, reference_videos
    from ._references import Image, Video
    from ._renames import renamed_references
    from ._schema import batch_schema, example_line
    from ._seedance import ImageToVideo, OmniReference, TextToVideo
    from ._seedance25 import Seedance25, Seedance25Edit, Seedance25Extend
    from ._seedream import Seedream5Pro
    from ._wan import Wan3ImageToVideo, Wan3RefToVideo, Wan3TextToVideo

_HOMES = {
    "_base": ["Request"],
    "_catalog": ["MODELS"],
    "_description": ["ModelDescription", "Terms"],
    "_fields": ["FieldDescription", "fields_of", "input_fields", "wire_fields"],
    "_files": ["FileSource", "LocalFile", "Upload", "file_to_upload", "spelt"],
    "_generation": ["Generation"],
    "_gpt_image": ["GptImage2", "GptImage25"],
    "_local": ["with_local_files"],
    "_midjourney": ["Midjourney"],
    "_nanobanana": ["NanoBanana2", "NanoBananaPro"],
    "_parse": ["parse_request"],
    "_prices": ["CREDIT_USD", "credit_usd", "reference_videos"],
    "_references": ["Image", "Video"],
    "_renames": ["renamed_references"],
    "_schema": ["batch_schema", "example_line"],
    "_seedance": ["ImageToVideo", "OmniReference", "TextToVideo"],
    "_seedance25": ["Seedance25", "Seedance25Edit", "Seedance25Extend"],
    "_seedream": ["Seedream5Pro"],
    "_wan": ["Wan3ImageToVideo", "Wan3RefToVideo", "Wan3TextToVideo"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CREDIT_USD",
    "GENERATIONS",
    "LATER",
    "MODELS",
    "SEED",
    "Advice",
    "ApiGeneration",
    "FailureGroup",
    "FieldDescription",
    "FileSource",
    "Generation",
    "GptImage2",
    "GptImage25",
    "Image",
    "ImageToVideo",
    "LocalFile",
    "Midjourney",
    "ModelDescription",
    "NanoBanana2",
    "NanoBananaPro",
    "OmniReference",
    "Request",
    "Seedance25",
    "Seedance25Edit",
    "Seedance25Extend",
    "Seedream5Pro",
    "Terms",
    "TextToVideo",
    "Upload",
    "Video",
    "Wan3ImageToVideo",
    "Wan3RefToVideo",
    "Wan3TextToVideo",
    "advice",
    "as_request",
    "batch_schema",
    "body_hash",
    "check_generation",
    "credit_usd",
    "describe",
    "encode_body",
    "example_line",
    "fields_of",
    "file_to_upload",
    "input_fields",
    "is_request",
    "parse_request",
    "reference_videos",
    "renamed_references",
    "restore_request",
    "settle_delay",
    "spelt",
    "wire_fields",
    "with_callback",
    "with_local_files",
]


def __getattr__(name: str) -> object:
    module = _HOME_OF.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value
