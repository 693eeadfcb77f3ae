"""What a result file is called: one safe name on every system, for any id, tag or model.

A name is a template over sanitised fields and nothing else. It never holds a separator,
never means something special to a shell of files (`..`, `CON`, `x.part`), fits every
file system, and two different field values never become the same name silently: a value
that had to be changed carries a short hash of what it was.
"""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import chain, repeat

from .._errors import ConfigurationError
from ._content import UNKNOWN_EXTENSION, is_media_extension, same_format

__all__ = [
    "CLIENT_TEMPLATE",
    "DEFAULT_TEMPLATE",
    "FIELDS",
    "MAX_NAME_BYTES",
    "PART_SUFFIX",
    "check_template",
    "collision_key",
    "collision_suffixes",
    "file_name",
    "is_plain_name",
    "split_extension",
    "template_fields",
    "unique_names",
    "with_suffix",
]

DEFAULT_TEMPLATE = "{id}_{n}{ext}"
"""The command's template."""
CLIENT_TEMPLATE = "{task_id}_{n}{ext}"
"""The template of `client.download`, which knows no id."""
FIELDS = ("id", "n", "ext", "model", "task_id", "line")
"""The fields of every template; a job's tags come on top."""
MAX_NAME_BYTES = 150
"""UTF-8 bytes of a whole name. File systems allow 255 (encrypted ones 143 of their own
coding); the rest is left for `.part`, `-2` and the folders of a Windows path."""
MAX_FIELD_BYTES = 100
"""UTF-8 bytes of one field, so that `{id}_{n}{ext}` keeps its number."""
PART_SUFFIX = ".part"
"""Ends the name of every unfinished file, and of no finished one."""

_LONGEST = 240  # what a file system takes, less `.part` and `-2`
_HASH_LENGTH = 8  # hex digits: enough to tell values apart by eye; real clashes get more
_MAX_SUFFIX_BYTES = 70  # a dash and the 64 digits of a whole hash fit
_UNSAFE = frozenset('/\\<>:"|?*')  # separators, and what Windows refuses
# Windows' device names, with any extension; it reads superscript digits as digits.
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$"]
    + [f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"]
)
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


def file_name(template: str, *, fields: Mapping[str, str], suffix: str = "") -> str:
    """The name of one file: a plain name of at most 150 bytes, safe on every system.

    Args:
        template: Text with `{field}` places, as `{id}_{n}{ext}`.
        fields: The values, any text at all; `ext` with its dot, anything that is no
            plain extension counts as none.
        suffix: Put before the extension, to keep names of several jobs apart.

    A template that ends in a media extension of its own, as `{id}.png`, keeps it while the
    file is of that format or of no known one. Else the file's extension takes its place: a
    name never lies about its file, and never says the same twice (`x.png.png`).

    Raises:
        ConfigurationError: the template is malformed or names a field without a value.
    """
    used = template_fields(template, allowed=fields)
    values = {name: _field(name, fields[name]) for name in used}
    parts = _parts(template)
    literal, own = _own_extension(parts)
    end = ""
    if own:
        parts = [*parts[:-1], (literal, None)]
        end = _chosen_extension(own, _field("ext", fields.get("ext", "")))
    assembled = "".join(
        literal + (values[field] if field is not None else "") for literal, field in parts
    )
    return with_suffix(assembled + end, suffix)


def check_template(template: str, tags: Iterable[str] = ()) -> None:
    """Refuse a template before anything is paid; the fields are `FIELDS` and the tags.

    Raises:
        ConfigurationError: with the reason and what is allowed.
    """
    template_fields(template, allowed=(*FIELDS, *tags))
    if template.startswith((".", " ")):
        raise ConfigurationError(f"name template {template!r} may not start with a dot or a space")
    literals = "".join(literal for literal, _ in _parts(template))
    if "/" in literals or "\\" in literals:
        raise ConfigurationError(f"name template {template!r} is one file name, without folders")
    bad = sorted({char for char in literals if char in _UNSAFE or _is_control(char)})
    if bad:
        raise ConfigurationError(
            f"name template {template!a} holds {', '.join(map(ascii, bad))}, "
            "which not every system allows in a file name"
        )
    if len(literals.encode()) > MAX_FIELD_BYTES:
        raise ConfigurationError(
            f"the name template is too long: at most {MAX_FIELD_BYTES} bytes beside its fields"
        )


def template_fields(template: str, *, allowed: Collection[str]) -> tuple[str, ...]:
    """The fields a template uses, in order.

    Raises:
        ConfigurationError: the template is empty or malformed, or a field is not in `allowed`.
    """
    if not template:
        raise ConfigurationError("the name template is empty")
    used = tuple(field for _, field in _parts(template) if field is not None)
    for field in used:
        if field not in allowed:
            known = ", ".join(f"{{{name}}}" for name in allowed)
            raise ConfigurationError(f"unknown field {{{field}}} in name template; known: {known}")
    return used


def unique_names(names: Mapping[str, str]) -> dict[str, str]:
    """The names by job id, where those that collide carry a hash of their job's id.

    Names collide when a system that ignores case or Unicode spelling takes them for one.
    The result depends on no order, and names of different jobs always come apart.
    """
    suffixes = collision_suffixes(names)
    return {
        job: with_suffix(name, suffixes[job]) if suffixes[job] else name
        for job, name in names.items()
    }


def collision_suffixes(names: Mapping[str, str]) -> dict[str, str]:
    """The suffix that each job's files need beside those of the other jobs, `""` for most.

    Args:
        names: By job id, the name its first file would have. The suffix goes to
            `file_name(suffix=...)` for all its files.
    """
    suffixes = dict.fromkeys(names, "")
    keys = {job: collision_key(name) for job, name in names.items()}
    # A suffixed name may meet another job's own name, or a hash another hash. Then more
    # digits are taken and whoever was met gets a suffix too: the crowd grows until all
    # are apart, at the latest when everyone carries the whole hash of a different id.
    for digits in chain((_HASH_LENGTH, 16), repeat(64)):  # pragma: no branch - without end
        counts = Counter(keys.values())
        if len(counts) == len(names):
            break
        for job, name in names.items():
            if suffixes[job] or counts[keys[job]] > 1:
                suffixes[job] = f"-{_digest(job, digits)}"
                keys[job] = collision_key(with_suffix(name, suffixes[job]))
    return suffixes


def collision_key(name: str) -> str:
    """What a system that ignores case and Unicode spelling tells names apart by, or coarser."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def with_suffix(name: str, suffix: str) -> str:
    """The name with a suffix before its extension, made safe and cut to 150 bytes."""
    stem, extension = split_extension(_finish(_clean(name)))
    suffix = _cut(_clean(suffix), _MAX_SUFFIX_BYTES)
    # Two bytes are for what `_finish` may still add.
    room = MAX_NAME_BYTES - 2 - len(suffix.encode()) - len(extension.encode())
    if len(stem.encode()) > room:
        mark = f"-{_digest(name)}"
        stem = _cut(stem, room - len(mark)) + mark
    return _finish(unicodedata.normalize("NFC", stem + suffix + extension))


def split_extension(name: str) -> tuple[str, str]:
    """A name as stem and extension; the extension has its dot, or is empty."""
    found = _EXTENSION.search(name)
    if found is None or found.start() == 0:
        return name, ""
    return name[: found.start()], found.group()


def is_plain_name(name: str) -> bool:
    """Whether a name stays in its folder and means nothing special on any system."""
    return name == _finish(_clean(name)) and len(name.encode()) <= _LONGEST


def _parts(template: str) -> list[tuple[str, str | None]]:
    """The template as (text, field that follows it or None)."""
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"malformed name template {template!r}: {error}") from None
    for _, _, spec, conversion in parsed:
        if spec or conversion:
            raise ConfigurationError(
                f"malformed name template {template!r}: a field is {{name}} and no more"
            )
    return [(literal, field) for literal, field, _, _ in parsed]


def _own_extension(parts: list[tuple[str, str | None]]) -> tuple[str, str]:
    """The text at a template's end without its media extension, and that; or `""` twice."""
    literal, field = parts[-1]
    if field not in {None, "ext"}:
        return "", ""
    stem, dot, extension = literal.rpartition(".")
    # Text alone may be all of a name's end, but not all of a template: `.png` has no stem.
    own = f"{dot}{extension}"
    if not dot or not is_media_extension(own) or (len(parts) == 1 and not stem):
        return "", ""
    return stem, own


def _chosen_extension(own: str, found: str) -> str:
    if not found or found == UNKNOWN_EXTENSION or same_format(own, found):
        return own
    return found


def _field(name: str, value: str) -> str:
    if name == "ext":
        return value.lower() if _EXTENSION.fullmatch(value) else ""
    text = _finish(_clean(value).strip())
    if not value or (text == value and len(text.encode()) <= MAX_FIELD_BYTES):
        return text
    return f"{_cut(text, MAX_FIELD_BYTES - _HASH_LENGTH - 1)}-{_digest(value)}"


def _clean(text: str) -> str:
    """NFC, with every character that some system refuses or obeys replaced by `_`."""
    text = unicodedata.normalize("NFC", text)
    text = "".join("_" if char in _UNSAFE or _is_control(char) else char for char in text)
    return unicodedata.normalize("NFC", text)


def _is_control(char: str) -> bool:
    # All of category C: control, format (right-to-left override, zero width), lone
    # surrogates, private use, and unassigned, which APFS refuses. And U+2028, U+2029.
    category = unicodedata.category(char)
    return category[0] == "C" or category in {"Zl", "Zp"}


def _finish(name: str) -> str:
    """The rules about a whole name: dots, spaces, devices, unfinished files, emptiness."""
    name = name.rstrip(". ")
    if name.startswith((".", " ")):
        name = "_" + name.lstrip(". ")
    if name.split(".", 1)[0].rstrip(" ").lower() in _RESERVED:
        name = f"_{name}"
    if name.lower().endswith(PART_SUFFIX):
        name = f"{name}_"
    return name or "_"


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore").rstrip(". ")


def _digest(text: str, digits: int = _HASH_LENGTH) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:digits]
