"""Saving result files: safe names, safe addresses, complete files, never over another one."""

from __future__ import annotations

from ._address import HostRules
from ._content import check_content, extension_for, sniff
from ._fetch import Quota, SavedFile, SaveOptions, save
from ._files import PartFile, free_bytes, remove_old_leftovers
from ._guard import Opener, Stream, open_checked
from ._names import (
    CLIENT_TEMPLATE,
    DEFAULT_TEMPLATE,
    check_template,
    collision_suffixes,
    file_name,
    unique_names,
)
from ._outputs import fetch_outputs, output_name, save_output, save_outputs
from ._stream import MAX_FILE_BYTES, CheckedStream

__all__ = [
    "CLIENT_TEMPLATE",
    "DEFAULT_TEMPLATE",
    "MAX_FILE_BYTES",
    "CheckedStream",
    "HostRules",
    "Opener",
    "PartFile",
    "Quota",
    "SaveOptions",
    "SavedFile",
    "Stream",
    "check_content",
    "check_template",
    "collision_suffixes",
    "extension_for",
    "fetch_outputs",
    "file_name",
    "free_bytes",
    "open_checked",
    "output_name",
    "remove_old_leftovers",
    "save",
    "save_output",
    "save_outputs",
    "sniff",
    "unique_names",
]
