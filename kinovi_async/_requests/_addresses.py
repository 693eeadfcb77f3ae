"""What an address of a request may be: bare, in a list of one kind, or among mixed references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

from pydantic_core import core_schema

from ._files import FileSource, LocalFile, Upload, as_json, check_format, is_source, local_file
from ._kinds import FORMATS, Formats, Kind
from ._references import (
    Image,
    Reference,
    Video,
    address_of,
    kind_of,
    marked,
    read_marked,
    read_source,
    split_address,
    stored_reference,
)
from ._rules import PlainRule, count, is_unicode, refuse, show

Source: TypeAlias = FileSource | LocalFile | Upload
"""What a reference may be given as: an address, a path, an open file, or an upload."""

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
    from pydantic.json_schema import JsonSchemaValue

_URI: JsonSchemaValue = {"type": "string", "format": "uri", "pattern": "^[hH][tT][tT][pP][sS]?://"}
# In a batch file a text without a scheme names a local file; see `_local`.
_SOURCE: JsonSchemaValue = {
    "type": "string",
    "format": "uri-reference",
    "pattern": r"^([hH][tT][tT][pP][sS]?://|(?![A-Za-z][A-Za-z0-9+.-]+:)\s*\S)",
}
_URIS: JsonSchemaValue = {"type": "array", "items": _SOURCE}
_EXAMPLES = {
    Kind.IMAGE: "https://example.com/first.jpg",
    Kind.VIDEO: "https://example.com/clip.mp4",
    Kind.AUDIO: "https://example.com/music.mp3",
}


class Address(PlainRule):
    """An http or https address with a host; with a `kind`, also a local file of it.

    An address whose extension shows another kind of file is refused; one whose extension
    shows nothing passes. A local file is known by its content.
    """

    type: ClassVar[str] = "address"

    def __init__(self, kind: Kind | None = None, formats: tuple[str, ...] = ()) -> None:
        self.kind = kind
        if kind is not None:
            self.formats: Formats = {kind: formats or FORMATS[kind]}

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        what = f" of {self.kind.described}" if self.kind else ""
        return f"an http or https address{what}"

    def check(self, value: object) -> str | LocalFile:
        """The address, unchanged, or the file, read."""
        if self.formats and is_source(value):
            return local_file(value, self.formats)
        if self.formats and isinstance(value, Upload):
            check_format(value, self.formats)
            return value.url
        if not isinstance(value, str) or split_address(value) is None or not is_unicode(value):
            raise refuse(self.allowed, show(value))
        if self.kind is not None and kind_of(value) not in {self.kind, None}:
            raise refuse(self.allowed, show(value))
        return str(value)

    def json_schema(self) -> dict[str, JsonValue]:
        """An address; of a kind, also a file beside the batch."""
        return dict(_URI if self.kind is None else _SOURCE)

    def example(self) -> JsonValue:
        """An address of the kind."""
        return _EXAMPLES[self.kind or Kind.IMAGE]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        if self.kind is None:
            inner = core_schema.str_schema()
            return core_schema.no_info_before_validator_function(self.check, inner)
        return core_schema.no_info_plain_validator_function(
            self.check,
            serialization=core_schema.plain_serializer_function_ser_schema(
                as_json, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string"}

    def wire(self, value: object) -> JsonValue:
        """The address; a local file in the ledger's form."""
        return as_json(value)


class Addresses(PlainRule):
    """An ordered list of addresses of one kind of file, kept as a tuple."""

    type: ClassVar[str] = "list of addresses"

    def __init__(
        self, kind: Kind, low: int = 0, high: int | None = None, formats: tuple[str, ...] = ()
    ) -> None:
        self.kind = kind
        self.formats: Formats = {kind: formats or FORMATS[kind]}
        self.minimum: int = low
        self.maximum: int | None = high

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        what = f"http or https addresses of {self.kind.plural}"
        if self.maximum is None:
            return f"a list of {what}"
        if not self.minimum:
            return f"a list of at most {self.maximum} {what}"
        joint = "or" if self.maximum == self.minimum + 1 else "to"
        return f"a list of {self.minimum} {joint} {self.maximum} {what}"

    def check(self, value: object) -> object:
        """The list, when it is one and of a fitting length; its items are checked after."""
        items = as_list(value, self.allowed)
        too_many = self.maximum is not None and len(items) > self.maximum
        if too_many or len(items) < self.minimum:
            raise refuse(self.allowed, show(value))
        return tuple(items)

    def wire(self, value: object) -> JsonValue:
        """The addresses; a local file in the ledger's form."""
        return as_json(value)

    def json_schema(self) -> dict[str, JsonValue]:
        """A list of addresses of that length."""
        schema: dict[str, JsonValue] = dict(_URIS)
        if self.minimum:
            schema["minItems"] = self.minimum
        if self.maximum is not None:
            schema["maxItems"] = self.maximum
        return schema

    def example(self) -> JsonValue:
        """A list of one."""
        return [_EXAMPLES[self.kind]]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        item = Address(self.kind, self.formats[self.kind]).__get_pydantic_core_schema__(
            source, handler
        )
        # Without lengths: pydantic would not count the items that have problems of their own.
        inner = core_schema.tuple_schema([item], variadic_item_index=0)
        return core_schema.no_info_before_validator_function(self.check, inner)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        lengths = {"minItems": self.minimum, "maxItems": self.maximum}
        return {**_URIS, **{key: length for key, length in lengths.items() if length is not None}}


class Alone(PlainRule):
    """A list of at most one address, where another generation has a bare one."""

    type: ClassVar[str] = "list of addresses"

    def __init__(self, kind: Kind) -> None:
        self._list = Addresses(kind, 0, 1)
        self.maximum = 1
        self.formats = self._list.formats

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        return self._list.allowed

    def check(self, value: object) -> object:
        """The one address itself; it was checked as such."""
        return value

    def wire(self, value: object) -> JsonValue:
        """A list of it."""
        return [as_json(value)]

    def read(self, value: object) -> object:
        """The address of a list of one; a bare one too. None: the list is empty."""
        if isinstance(value, str | Upload) or is_source(value):
            return value
        items = cast("Sequence[object]", self._list.check(value))
        return items[0] if items else None

    def json_schema(self) -> dict[str, JsonValue]:
        """A list of at most one."""
        return self._list.json_schema()

    def example(self) -> JsonValue:
        """A list of one."""
        return self._list.example()


def as_list(value: object, allowed: str) -> Sequence[object]:
    """The value when it is a list or tuple; sets have no order and texts are no lists."""
    if not isinstance(value, list | tuple):
        raise refuse(allowed, show(value))
    return value


class References(PlainRule):
    """The mixed list of images and videos of an omni reference, kept as a tuple."""

    type: ClassVar[str] = "list of addresses"

    def __init__(self, most: Mapping[Kind, int], formats: Formats | None = None) -> None:
        self.minimum: int = 1
        self.most = most
        self.formats: Formats = {kind: (formats or FORMATS)[kind] for kind in most}

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        most = " and ".join(f"{most} {kind.plural}" for kind, most in self.most.items())
        return f"a list of http or https addresses, at least 1, at most {most}"

    def check(self, value: object) -> object:
        """The list, when it is one with an item."""
        items = as_list(value, self.allowed)
        if not items:
            raise refuse(self.allowed, "an empty list")
        return tuple(items)

    def check_item(self, value: object) -> Reference:
        """An address, bare or marked."""
        value = read_source(read_marked(value))
        if isinstance(value, LocalFile):
            return value
        checked = Address().check(value.url if isinstance(value, Image | Video) else value)
        if isinstance(value, Image | Video):
            return value
        if kind_of(checked) is Kind.AUDIO:
            allowed = "an address of an image or a video (audio goes into audioUrls)"
            raise refuse(allowed, show(checked))
        return checked

    def check_counts(self, value: tuple[Reference, ...]) -> tuple[Reference, ...]:
        """The list, when no kind has too many; an unknown kind counts for none."""
        kinds = [kind_of(reference) for reference in value]
        over = [kind for kind, most in self.most.items() if kinds.count(kind) > most]
        if over:
            given = " and ".join(count(kinds.count(kind), kind.value) for kind in over)
            raise refuse(self.allowed, given)
        return value

    def wire(self, value: object) -> JsonValue:
        """The addresses alone."""
        if isinstance(value, tuple):
            return [address_of(item) for item in value]
        return super().wire(value)

    @staticmethod
    def stored(value: Sequence[Reference]) -> list[JsonValue]:
        """The addresses, and the kind of each that its address does not show."""
        return [stored_reference(each) for each in value]

    def split(self, value: Sequence[Reference]) -> dict[Kind, list[JsonValue]]:
        """The addresses by kind, in order. Raises PydanticCustomError for an unknown kind."""
        found: dict[Kind, list[JsonValue]] = {kind: [] for kind in self.most}
        for each in value:
            kind = kind_of(each)
            if kind is None:
                allowed = "a reference of known kind: mark it as Image(url) or Video(url)"
                raise refuse(allowed, show(address_of(each)))
            found[kind].append(address_of(each))
        return {kind: addresses for kind, addresses in found.items() if addresses}

    @staticmethod
    def join(parts: Mapping[Kind, Sequence[str | LocalFile]]) -> list[Reference]:
        """The mixed list of addresses whose kinds are known."""
        return [marked(each, kind) for kind, addresses in parts.items() for each in addresses]

    def json_schema(self) -> dict[str, JsonValue]:
        """A list of addresses, each bare or as `{"image": ...}` or `{"video": ...}`."""
        marks: list[JsonValue] = [
            {
                "type": "object",
                "properties": {str(kind): dict(_SOURCE)},
                "required": [str(kind)],
                "additionalProperties": False,
            }
            for kind in self.most
        ]
        return {"type": "array", "minItems": 1, "items": {"anyOf": [dict(_SOURCE), *marks]}}

    def example(self) -> JsonValue:
        """A list of one image."""
        return [_EXAMPLES[Kind.IMAGE]]

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        item = core_schema.no_info_plain_validator_function(self.check_item)
        items = core_schema.tuple_schema([item], variadic_item_index=0)
        listed = core_schema.no_info_before_validator_function(self.check, items)
        return core_schema.no_info_after_validator_function(
            self.check_counts,
            listed,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self.wire, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**_URIS, "minItems": self.minimum}
