"""What an address of a request may be: bare, in a list of one kind, or among mixed references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic_core import core_schema

from ._references import Image, Kind, Reference, Video, address_of, kind_of, split_address
from ._rules import PlainRule, count, is_unicode, refuse, show

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, JsonValue
    from pydantic.json_schema import JsonSchemaValue

_URIS: JsonSchemaValue = {"type": "array", "items": {"type": "string", "format": "uri"}}


class Address(PlainRule):
    """An http or https address with a host.

    With a `kind`, an address whose extension shows another kind of file is refused;
    one whose extension shows nothing passes.
    """

    type: ClassVar[str] = "address"

    def __init__(self, kind: Kind | None = None) -> None:
        self.kind = kind

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        what = f" of {self.kind.described}" if self.kind else ""
        return f"an http or https address{what}"

    def check(self, value: object) -> str:
        """The address, unchanged."""
        if not isinstance(value, str) or split_address(value) is None or not is_unicode(value):
            raise refuse(self.allowed, show(value))
        if self.kind is not None and kind_of(value) not in {self.kind, None}:
            raise refuse(self.allowed, show(value))
        return str(value)

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, core_schema.str_schema())


class Addresses(PlainRule):
    """An ordered list of addresses of one kind of file, kept as a tuple."""

    type: ClassVar[str] = "list of addresses"

    def __init__(self, kind: Kind, low: int = 0, high: int | None = None) -> None:
        self.kind = kind
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

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        item = Address(self.kind).__get_pydantic_core_schema__(source, handler)
        # Without lengths: pydantic would not count the items that have problems of their own.
        inner = core_schema.tuple_schema([item], variadic_item_index=0)
        return core_schema.no_info_before_validator_function(self.check, inner)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        lengths = {"minItems": self.minimum, "maxItems": self.maximum}
        return {**_URIS, **{key: length for key, length in lengths.items() if length is not None}}


def as_list(value: object, allowed: str) -> Sequence[object]:
    """The value when it is a list or tuple; sets have no order and texts are no lists."""
    if not isinstance(value, list | tuple):
        raise refuse(allowed, show(value))
    return value


class References(PlainRule):
    """The mixed list of images and videos of an omni reference, kept as a tuple."""

    type: ClassVar[str] = "list of addresses"

    def __init__(self, most: Mapping[Kind, int]) -> None:
        self.minimum: int = 1
        self.most = most

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
        address = address_of(value) if isinstance(value, Image | Video) else value
        checked = Address().check(address)
        if isinstance(value, Image | Video):
            return value
        if kind_of(checked) is Kind.AUDIO:
            raise refuse("an address of an image or a video (audio goes into audioUrls)", checked)
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
            return [self.wire(item) for item in value]
        return value.url if isinstance(value, Image | Video) else super().wire(value)

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
