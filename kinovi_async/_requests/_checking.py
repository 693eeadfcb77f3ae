"""Builds a request of a known class from an API body's parts, and names all that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from .._errors import InvalidRequestError, Problem
from ._addresses import Address, References
from ._base import ANY_LENGTH, Request
from ._fields import all_fields, input_fields, readable
from ._files import LocalFile
from ._generations import LATER, ApiGeneration
from ._kinds import Kind
from ._problems import given_twice, problems_of, unknown_input
from ._rules import show

if TYPE_CHECKING:
    from ._description import ModelDescription
    from ._fields import FieldDescription

R = TypeVar("R", bound=Request)
Checked: TypeAlias = tuple[R | None, list[Problem]]
"""The request, or None and everything that is wrong."""


def check_described(
    description: ModelDescription,
    inputs: Mapping[str, object],
    callback_url: object = None,
    *,
    generation: ApiGeneration | None = None,
) -> Checked[Request]:
    """A request of a described model from the `inputs` of a body, in either form.

    Args:
        description: The model.
        inputs: By the names of any generation of the API, or those in Python.
        callback_url: The body's `callBackUrl`.
        generation: Whose ranges apply where they differ; None: the seeds', unless the
            body cannot be one of theirs.
    """
    inputs = _given(description, inputs)
    cls = description.request_class(inputs)
    reading = _Reading(cls)
    for key, value in inputs.items():
        reading.take(key, value)
    reading.join()
    data = {**reading.data, "model": description.id, "callBackUrl": callback_url}
    request, more = build(
        cls,
        data,
        description=description,
        names=reading.names,
        any_length=generation == LATER,
    )
    # What could not be read is told once, and not also as missing.
    more = [each for each in more if each.field not in reading.unread]
    return (None if reading.problems else request), [*reading.problems, *more]


def _given(description: ModelDescription, inputs: Mapping[str, object]) -> dict[str, object]:
    """`inputs` without the fields that say nothing, whichever mode they are of.

    A field that is None is unset, and an empty list is one of another mode unset.
    """
    known = {key for cls in description.requests for key in readable(cls)}
    given = {key: value for key, value in inputs.items() if value is not None or key not in known}
    own = readable(description.request_class(given))
    return {
        key: value
        for key, value in given.items()
        if key in own or key not in known or not (isinstance(value, list | tuple) and not value)
    }


class _Reading:
    """`inputs` on their way to the fields of a class."""

    def __init__(self, cls: type[Request]) -> None:
        self.data: dict[str, object] = {}
        """By names in Python."""
        self.names: dict[str, str] = {}
        """The name under which each was given, where it is another generation's."""
        self.problems: list[Problem] = []
        self.unread: set[str] = set()
        self._cls = cls
        self._known = readable(cls)
        self._parts: dict[str, dict[Kind, Sequence[str | LocalFile]]] = {}

    def take(self, key: object, value: object) -> None:
        """One field of the body."""
        field = self._known.get(key) if isinstance(key, str) else None
        if field is None or not isinstance(key, str):
            self.problems.append(unknown_input(key, self._cls))
            return
        own = all_fields(self._cls)[field.name]
        kind = self._kind(own, key)
        if field.name in self.data or (kind is None and field.name in self._parts):
            self.problems.append(self._twice(own, key))
        elif kind is not None:
            self._take_part(field, kind, value)
        else:
            self._take_value(field, own, key, value)

    def _take_value(
        self, field: FieldDescription, own: FieldDescription, key: str, value: object
    ) -> None:
        if key not in {own.wire_name, own.name}:
            self.names[field.name] = key
        try:
            self.data[field.name] = field.rule.read(value)
        except PydanticCustomError as error:
            self._refused(f"inputs.{key}", value, error, own)

    def _kind(self, own: FieldDescription, key: str) -> Kind | None:
        """The kind whose addresses a part of a mixed list holds; None: it is no part."""
        if key in {own.wire_name, own.name}:
            return None
        for parts in (each.parts for each in self._split_fields(own.name)):
            for kind, part in (parts or {}).items():
                if part.wire_name == key:
                    return kind
        return None

    def _split_fields(self, name: str) -> Sequence[FieldDescription]:
        found = (input_fields(self._cls, each).get(name) for each in self._cls.GENERATIONS)
        return [field for field in found if field is not None and field.parts]

    def _take_part(self, field: FieldDescription, kind: Kind, value: object) -> None:
        parts = self._parts.setdefault(field.name, {})
        path = f"inputs.{field.wire_name}"
        try:
            items = field.rule.check(value)
        except PydanticCustomError as error:
            self._refused(path, value, error, all_fields(self._cls)[field.name])
            return
        assert isinstance(items, tuple)  # noqa: S101 - see Addresses
        checked: list[str | LocalFile] = []
        for index, item in enumerate(items):
            try:
                checked.append(Address(kind).check(item))
            except PydanticCustomError as error:
                own = all_fields(self._cls)[field.name]
                self._refused(f"{path}[{index}]", item, error, own)
        parts[kind] = checked

    def _refused(
        self, path: str, value: object, error: PydanticCustomError, own: FieldDescription
    ) -> None:
        context = error.context or {}
        given = str(context.get("given", show(value)))
        self.problems.append(Problem(path, given, str(context.get("allowed", ""))))
        self.unread.add(own.path)

    def _twice(self, own: FieldDescription, key: str) -> Problem:
        if key in {own.name, own.wire_name} and own.name not in self.names:
            if own.name in self._parts:
                return Problem(f"inputs.{key}", "", "given twice, also by kind")
            return given_twice(f"inputs.{own.wire_name}")
        return Problem(f"inputs.{key}", "", f"given twice, also as {own.wire_name}")

    def join(self) -> None:
        """Puts the parts of mixed lists together."""
        for name, parts in self._parts.items():
            path = all_fields(self._cls)[name].path
            if path in self.unread or name in self.data:
                continue
            ordered = {kind: parts[kind] for kind in Kind if kind in parts}
            joined = References.join(ordered)
            if joined:
                self.data[name] = joined


def build(
    cls: type[R],
    data: Mapping[str, object],
    *,
    description: ModelDescription | None = None,
    names: Mapping[str, str] | None = None,
    any_length: bool = False,
) -> Checked[R]:
    """A request of this class from its fields, by either name."""
    try:
        return cls.model_validate(data, context=ANY_LENGTH if any_length else None), []
    except ValidationError as error:
        return None, problems_of(error, cls, description=description, names=names)


def with_callback(request: Request, callback_url: str) -> Request:
    """The same request with a webhook URL.

    Raises:
        InvalidRequestError: it is no http(s) URL.
    """
    try:
        return request.model_copy(update={"callback_url": callback_url})
    except ValidationError as error:
        raise InvalidRequestError.of(problems_of(error, type(request))) from None


def demand(description: ModelDescription, inputs: Mapping[str, object]) -> Request:
    """A request of a described model from the `inputs` of a body.

    Raises:
        InvalidRequestError: naming every problem.
    """
    request, problems = check_described(description, inputs)
    if request is None:
        raise InvalidRequestError.of(problems, what=f"request for {description.id}")
    return request
