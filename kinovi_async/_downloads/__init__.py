"""Saving result files: safe names, safe addresses, complete files, never over another one."""

from __future__ import annotations

from ._content import check_content, extension_for, sniff
from ._fetch import SavedFile, SaveOptions, save
from ._guard import CheckedStream, Opener, Stream, open_checked
from ._names import (
    CLIENT_TEMPLATE,
    DEFAULT_TEMPLATE,
    check_template,
    collision_suffixes,
    file_name,
    unique_names,
)
from ._outputs import output_name, save_output, save_outputs

__all__ = [
    "CLIENT_TEMPLATE",
    "DEFAULT_TEMPLATE",
    "CheckedStream",
    "Opener",
    "SaveOptions",
    "SavedFile",
    "Stream",
    "check_content",
    "check_template",
    "collision_suffixes",
    "extension_for",
    "file_name",
    "open_checked",
    "output_name",
    "save",
    "save_output",
    "save_outputs",
    "sniff",
    "unique_names",
]
