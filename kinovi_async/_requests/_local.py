"""Local files that a batch file names: texts where an address is expected, made paths.

For bodies of this machine's own user only; see `_files` on why JSON does not name files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ._addresses import Address, Addresses, Alone, References
from ._catalog import describe
from ._fields import readable
from ._files import is_file_form

# Two letters at least: a single one is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")
_RULES = (Address, Addresses, Alone, References)


def with_local_files(body: Mapping[str, object], base: Path) -> dict[str, object]:
    """An API body whose reference fields may name files, relative to a directory.

    A text without a scheme (`https:`) is a path there; so is `{"file": path}`, which also
    a model without a description takes. Nothing is read, and nothing is checked.
    """
    model, inputs = body.get("model"), body.get("inputs")
    if not isinstance(inputs, Mapping):
        return dict(body)
    description = describe(model) if isinstance(model, str) else None
    names: set[str] = set()
    if description is not None:
        fields = readable(description.request_class(inputs))
        names = {key for key, field in fields.items() if isinstance(field.rule, _RULES)}
    local = {
        key: _local(value, base, texts=key in names, known=description is not None)
        for key, value in inputs.items()
    }
    return {**body, "inputs": local}


def _local(value: object, base: Path, *, texts: bool, known: bool) -> object:
    if isinstance(value, list):
        return [_local(item, base, texts=texts, known=known) for item in value]
    if isinstance(value, Mapping):
        named = value.get("file")
        if isinstance(named, str) and (len(value) == 1 or is_file_form(value)):
            return _path(named, base) if texts or not known else value
        if len(value) == 1 and value.keys() <= {"image", "video"} and texts:
            return _marked(value, base)
        return value
    if texts and isinstance(value, str) and value.strip() and not _SCHEME.match(value.lstrip()):
        return _path(value, base)
    return value


def _marked(value: Mapping[str, object], base: Path) -> object:
    """`{"video": "clip.mp4"}`; a file shows by itself what it is."""
    ((mark, inner),) = value.items()
    found = _local(inner, base, texts=True, known=True)
    if not isinstance(found, Path):
        return value
    from ._references import Image, Video

    return Image(found) if mark == "image" else Video(found)


def _path(text: str, base: Path) -> Path:
    path = Path(text.strip())
    return base / (path.expanduser() if text.strip().startswith("~/") else path)
