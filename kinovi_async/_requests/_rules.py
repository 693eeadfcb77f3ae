"""What a single value of a request may be: one rule object per kind of field.

A rule stands in a field's annotation (`Annotated[int, Whole(4, 15)]`) and is the only
place that knows the field's limits: pydantic checks with it, error messages and the
model catalogue take their words and figures from it. `None` never reaches a rule; it
means "unset" everywhere.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from pydantic_core import PydanticCustomError, core_schema

from ._kinds import Formats

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, JsonValue

Figure: TypeAlias = int | float

SHOWN = 80
"""Characters of a given value that a problem shows (the promise of `Problem.given`)."""

_NUMBER_SHOWN = 200  # bits: 60 digits

# Longer digit strings cannot be in any range here, and int() refuses 4,300 digits with an
# error of its own.
_DIGITS = re.compile(r"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")
# Beyond this a float no longer tells neighbouring whole numbers apart.
_EXACT = 2**53


def show(value: object) -> str:
    """A given value as text of at most `SHOWN` characters; never raises, whatever it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return shorten(repr(value[:SHOWN]))
    if isinstance(value, int) and value.bit_length() > _NUMBER_SHOWN:
        return "a very large number"
    if isinstance(value, int | float):
        return str(value)
    return shorten(_show_other(value))


def _show_other(value: object) -> str:
    if isinstance(value, Mapping):
        return f"an object with {count(len(value), 'field')}" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {count(len(value), 'item')}" if value else "an empty list"
    return f"a value of type {type(value).__name__}"


def shorten(text: str, limit: int = SHOWN) -> str:
    """The text, cut to `limit` characters with `...` at the end when it is longer."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def count(number: int, noun: str) -> str:
    """`1 item`, `3 items`, `2 addresses`."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def listed(values: Sequence[object], word: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    texts = [str(value) for value in values]
    return f" {word} ".join(part for part in (", ".join(texts[:-1]), texts[-1]) if part)


def refuse(allowed: str, given: str) -> PydanticCustomError:
    """The error a rule raises: what is allowed, and what was given, as phrases."""
    context = {"allowed": allowed, "given": given}
    return PydanticCustomError("refused", "{allowed}, not {given}", context)


class Rule(Protocol):
    """What a field's rule tells about itself."""

    @property
    def type(self) -> str:
        """One word or two for a table: `whole number`, `text`, `address`, ..."""

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase that fits before `, not 3`."""

    @property
    def minimum(self) -> Figure | None:
        """The least value, length or number of items; None when there is none."""

    @property
    def maximum(self) -> Figure | None:
        """The greatest value, length or number of items; None when there is none."""

    @property
    def choices(self) -> tuple[str | Figure, ...]:
        """The only values allowed; empty when the field is not a choice."""

    @property
    def formats(self) -> Formats:
        """Of the local files that it takes, by kind; empty when it takes none."""

    def check(self, value: object) -> object:
        """The value as a request holds it; raises PydanticCustomError (see `refuse`)."""

    def wire(self, value: object) -> JsonValue:
        """A checked value in the API's own form."""

    def read(self, value: object) -> object:
        """A value in the API's own form as the class's field takes it, still unchecked."""

    def json_schema(self) -> dict[str, JsonValue]:
        """JSON Schema of the value in an API body."""

    def example(self) -> JsonValue:
        """A value that is allowed, in the API's own form."""


class PlainRule:
    """What most rules share: no limits to tell, and a value that is sent as it is."""

    minimum: Figure | None = None
    maximum: Figure | None = None
    choices: tuple[str | Figure, ...] = ()
    formats: Formats = {}  # noqa: RUF012 - read alone

    def wire(self, value: object) -> JsonValue:
        """The value itself; sequences become lists."""
        if isinstance(value, tuple | list):
            return [self.wire(item) for item in value]
        return value if isinstance(value, str | int | float) else str(value)

    def read(self, value: object) -> object:
        """The value itself."""
        return value

    def json_schema(self) -> dict[str, JsonValue]:
        """Anything."""
        return {}

    def example(self) -> JsonValue:
        """The first choice, or nothing."""
        return self.choices[0] if self.choices else None


class Whole(PlainRule):
    """A whole number from `low` to `high`; also as digits in a text, never a boolean.

    With `as_text`, it travels as a string, as the API's documents type `duration`.
    """

    type: ClassVar[str] = "whole number"

    def __init__(self, low: int, high: int, *, as_text: bool = False) -> None:
        self.minimum: int = low
        self.maximum: int = high
        self.as_text = as_text

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        return f"a whole number from {self.minimum} to {self.maximum}"

    def check(self, value: object) -> int:
        """The number, from an int, a float without a fraction or a text of digits."""
        number: int | None = None
        if isinstance(value, str):
            number = int(value) if _DIGITS.fullmatch(value.strip()) else None
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = int(value) if _finite(value) and value == int(value) else None
        if number is None or not self.minimum <= number <= self.maximum:
            raise refuse(self.allowed, show(value))
        return number

    def wire(self, value: object) -> JsonValue:
        """The number, or its digits."""
        return str(value) if self.as_text else super().wire(value)

    def json_schema(self) -> dict[str, JsonValue]:
        """An integer in the range, or its digits where they travel so."""
        number: dict[str, JsonValue] = {
            "type": "integer",
            "minimum": self.minimum,
            "maximum": self.maximum,
        }
        if not self.as_text:
            return number
        digits: list[JsonValue] = [str(n) for n in range(self.minimum, self.maximum + 1)]
        return {"anyOf": [{"enum": digits}, number]}

    def example(self) -> JsonValue:
        """5, or what is nearest to it."""
        return self.wire(min(max(5, self.minimum), self.maximum))

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        inner = core_schema.int_schema(ge=self.minimum, le=self.maximum)
        return core_schema.no_info_before_validator_function(self.check, inner)


class Number(PlainRule):
    """A finite number, or one of a few; also as text, never a boolean.

    A number without a fraction stays an int, so that `1` is sent as `1` and not `1.0`.
    """

    type: ClassVar[str] = "number"

    def __init__(self, *choices: Figure) -> None:
        self.choices = choices

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        return listed(self.choices) if self.choices else "a number"

    def check(self, value: object) -> Figure:
        """The number, from an int, a finite float or a plain decimal text."""
        number: Figure | None = None
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            number = float(value) if "." in value else int(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = value
        if number is None or not _finite(number):
            raise refuse(self.allowed, show(value))
        if isinstance(number, float) and number.is_integer() and abs(number) < _EXACT:
            number = int(number)
        if self.choices and number not in self.choices:
            raise refuse(self.allowed, show(value))
        return number

    def json_schema(self) -> dict[str, JsonValue]:
        """A number, or one of the choices."""
        return {"enum": list(self.choices)} if self.choices else {"type": "number"}

    def example(self) -> JsonValue:
        """The last choice, or 42."""
        return self.choices[-1] if self.choices else 42

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        inner = core_schema.union_schema([core_schema.int_schema(), core_schema.float_schema()])
        return core_schema.no_info_before_validator_function(self.check, inner)


def _finite(number: Figure) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int beyond every float
        return False


class Text(PlainRule):
    """Text that can be sent as UTF-8, of at most `maximum` characters.

    With `required`, it must hold more than white space.
    """

    type: ClassVar[str] = "text"

    def __init__(self, maximum: int | None = None, *, required: bool = False) -> None:
        self.minimum: int | None = 1 if required else None
        self.maximum: int | None = maximum

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        if self.maximum is None:
            return "text that is not blank" if self.minimum else "text"
        start = "1 to" if self.minimum else "at most"
        return f"text of {start} {self.maximum:,} characters"

    def check(self, value: object) -> str:
        """The text, unchanged."""
        if not isinstance(value, str):
            raise refuse(self.allowed, show(value))
        if self.maximum is not None and len(value) > self.maximum:
            raise refuse(self.allowed, f"text of {len(value):,} characters")
        if self.minimum and not value.strip():
            raise refuse(self.allowed, show(value))
        if not is_unicode(value):
            raise refuse(f"{self.allowed}, valid Unicode", show(value))
        return str(value)

    def json_schema(self) -> dict[str, JsonValue]:
        """A text of that length."""
        schema: dict[str, JsonValue] = {"type": "string"}
        if self.minimum:
            schema["pattern"] = "\\S"
        if self.maximum is not None:
            schema["maxLength"] = self.maximum
        return schema

    def example(self) -> JsonValue:
        """A prompt, or a word."""
        return "A quiet harbour at dawn" if self.minimum else "blurry"

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        inner = core_schema.str_schema(min_length=self.minimum, max_length=self.maximum)
        return core_schema.no_info_before_validator_function(self.check, inner)


def is_unicode(text: str) -> bool:
    """Whether the text can be sent as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class OneOf(PlainRule):
    """One of a few texts; also the rule of a field typed as `Literal`, checked by pydantic."""

    type: ClassVar[str] = "choice"

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    @property
    def allowed(self) -> str:
        """A phrase for messages."""
        if len(self.choices) == 1:
            return f"only {self.choices[0]}"
        return listed(self.choices)

    def check(self, value: object) -> str:
        """The text, when it is one of them."""
        if not isinstance(value, str) or value not in self.choices:
            raise refuse(self.allowed, show(value))
        return value

    def json_schema(self) -> dict[str, JsonValue]:
        """The choices."""
        return {"enum": list(self.choices)}


class Flag(PlainRule):
    """True or false, and nothing that only looks so."""

    type: ClassVar[str] = "true or false"
    allowed: ClassVar[str] = "true or false"

    def check(self, value: object) -> bool:
        """The value, when it is a boolean."""
        if not isinstance(value, bool):
            raise refuse(self.allowed, show(value))
        return value

    def json_schema(self) -> dict[str, JsonValue]:
        """A boolean."""
        return {"type": "boolean"}

    def example(self) -> JsonValue:
        """False: what nothing defaults to."""
        return False

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, core_schema.bool_schema())


class Phrase:
    """Replaces the words of a `Literal` field in messages; it checks nothing."""

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
