"""Decides which headers go with which request.

The key goes with requests to the API alone. Result files are fetched with nothing that
could identify the account, default headers included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._errors import ConfigurationError
from .._version import __version__

__all__ = ["api_headers", "check_headers", "download_headers", "upload_headers"]

_USER_AGENT = f"kinovi-async/{__version__}"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")
# What a request is made of is not for default_headers to change.
_OURS = {
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
}


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Default headers with their names in lower case.

    Raises:
        ConfigurationError: A name or value that no header may have, or a header that is
            the client's own. Values are not quoted.
    """
    checked: dict[str, str] = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError(f"default_headers: {name!r} is no header name")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            del value
            raise ConfigurationError(f"default_headers: the value of {name} is no ASCII text")
        if name.lower() in _OURS:
            hint = "; the key is given as api_key" if name.lower() == "authorization" else ""
            raise ConfigurationError(f"default_headers must not set {name}{hint}")
        checked[name.lower()] = value
    return checked


def api_headers(defaults: Mapping[str, str], *, authorization: str, post: bool) -> dict[str, str]:
    """The headers of a request to the API.

    An answer is asked for unencoded, so that a task id can be read from one that is cut
    off. A POST has a connection of its own: one that idled may just be closing, which
    looks like a lost answer.
    """
    return {
        "accept": "application/json",
        "user-agent": _USER_AGENT,
        **defaults,
        "accept-encoding": "identity",
        "content-type": "application/json",
        **({"connection": "close"} if post else {}),
        "authorization": authorization,
    }


def download_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of a request for a result file.

    Raises:
        ConfigurationError: One of them is not to be sent anywhere but to the API.
    """
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if {"authorization", "cookie", "proxy-authorization"} & given.keys():
        raise ConfigurationError("a result file is fetched without credentials")
    return {"accept": "*/*", "user-agent": _USER_AGENT, "accept-encoding": "identity", **given}


def upload_headers(content_type: str, size: int) -> dict[str, str]:
    """The headers of a PUT to a signed address, which is all that identifies the account."""
    return {
        "accept": "*/*",
        "user-agent": _USER_AGENT,
        "accept-encoding": "identity",
        "content-type": content_type,
        "content-length": str(size),
    }
