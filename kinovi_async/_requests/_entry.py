"""The ways into this package that cost nothing until they are taken.

Building request classes takes longer than everything else an import does, so that the
modules which hold them are imported by the first call that needs one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._generations import SEED, ApiGeneration

if TYPE_CHECKING:
    from ._base import Request
    from ._description import ModelDescription


def as_request(
    value: Request | Mapping[str, object], *, api_generation: ApiGeneration = SEED
) -> Request:
    """The request itself, or the one that an API body describes, fit to be sent.

    Args:
        value: A request, or an API body in the form of any generation.
        api_generation: The generation in which it is going to be sent.

    Raises:
        InvalidRequestError: naming every problem of the body, or every field that the
            generation does not take.
    """
    from ._base import Request
    from ._parse import parse_request

    if not isinstance(value, Request):
        value = parse_request(value, api_generation=api_generation)
    value.inputs_wire(api_generation=api_generation)
    return value


def is_request(value: object) -> bool:
    """Whether the value is a request; nothing can be one before the class was imported."""
    base = sys.modules.get(f"{__package__}._base")
    return base is not None and isinstance(value, base.Request)


def restore_request(body: Mapping[str, object]) -> Request:
    """The request of a body that was checked when it was stored; see `_parse`."""
    from . import _parse

    return _parse.restore_request(body)


def with_callback(request: Request, callback_url: str) -> Request:
    """The same request with a webhook URL; see `_checking`."""
    from . import _checking

    return _checking.with_callback(request, callback_url)


def describe(model_id: str) -> ModelDescription | None:
    """The description of a model, None when there is none."""
    from . import _catalog

    return _catalog.describe(model_id)


def settle_delay(request: Request) -> float | None:
    """Seconds after success at which the record's `creditsUsed` is final; None: at once."""
    from . import _settling

    return _settling.settle_delay(request)
