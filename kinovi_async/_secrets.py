"""The API key: checked once, masked everywhere, and taken out of texts that come back.

A key that cannot be sent in a header (inner whitespace, control or non-ASCII characters)
is refused here, because HTTP libraries quote the offending header, key and all, in the
error they raise.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias

from ._errors import ConfigurationError

__all__ = ["ApiKey", "KeySource", "find_key", "redact"]

KeySource: TypeAlias = str | Callable[[], str]

MASK = "***"
# Shorter keys are not looked for in texts: replacing a word like "key" would garble
# every message, and no real key is that short.
_SHORTEST_REDACTED = 8
# Keys a callable gave earlier may still turn up in a late answer.
_REMEMBERED = 4


class ApiKey:
    """The key of one account, or a callable that returns it at each use (rotation).

    `repr`, `str` and formatting show a mask; pickling and copying are refused.

    Args:
        source: The key, or a synchronous callable without arguments that returns it.
            Whitespace around the key, such as a pasted newline, is dropped.

    Raises:
        ConfigurationError: The key is empty or holds a character that cannot be sent.
            The message never quotes it.
    """

    __slots__ = ("_seen", "_source")

    def __init__(self, source: KeySource) -> None:
        self._seen: deque[str] = deque(maxlen=_REMEMBERED)
        self._source = source
        if not callable(source):
            del source  # a traceback that shows local variables must not show the key
            self._reveal()

    @property
    def account(self) -> str:
        """Tells accounts apart: the fingerprint, or `rotating` for a callable."""
        return "rotating" if callable(self._source) else self.fingerprint()

    def header(self) -> str:
        """The value of the Authorization header.

        Raises:
            ConfigurationError: The callable raised, or returned no usable key.
        """
        return f"Bearer {self._reveal()}"

    def fingerprint(self) -> str:
        """16 hex digits that tell accounts apart and do not give the key away.

        Raises:
            ConfigurationError: The callable raised, or returned no usable key.
        """
        digest = hmac.new(self._reveal().encode(), b"kinovi-async account", hashlib.sha256)
        return digest.hexdigest()[:16]

    def redact(self, text: str) -> str:
        """The text with every key handed out so far replaced by a mask."""
        for key in self._seen:
            if len(key) >= _SHORTEST_REDACTED:
                text = text.replace(key, MASK)
        return text

    def redact_bytes(self, data: bytes) -> bytes:
        """The same for bytes, in UTF-8 and UTF-16."""
        for key in self._seen:
            if len(key) >= _SHORTEST_REDACTED:
                for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                    data = data.replace(key.encode(encoding), MASK.encode(encoding))
        return data

    def redact_json(self, value: object) -> object:
        """The same for every text in a JSON value."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, list):
            return [self.redact_json(item) for item in value]
        if isinstance(value, Mapping):
            return {self.redact(str(k)): self.redact_json(item) for k, item in value.items()}
        return value

    def _reveal(self) -> str:
        key, problem = _read(self._source)
        if problem is not None:
            del key
            raise ConfigurationError(problem)
        if key not in self._seen:
            self._seen.append(key)
        return key

    def __repr__(self) -> str:
        return f"ApiKey({MASK!r})"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled or copied")


def redact(text: str, key: ApiKey) -> str:
    """The text with every key that `key` handed out so far replaced by a mask."""
    return key.redact(text)


def _read(source: KeySource) -> tuple[str, str | None]:
    """The key, and what is wrong with it. Nothing is raised where the key is a local."""
    if callable(source):
        try:
            value: object = source()
        except Exception as exc:  # noqa: BLE001 - its text and its frames may hold the key
            return "", f"the api_key callable raised {type(exc).__name__}"
        name = "the key returned by the api_key callable"
    else:
        value, name = source, "the API key"
    if not isinstance(value, str):
        return "", f"{name} is a {type(value).__name__}, not a str"
    key = value.strip()
    if not key:
        return "", f"{name} is empty"
    if any(not "!" <= character <= "~" for character in key):
        return "", f"{name} holds a space, a control or a non-ASCII character; paste it again"
    if key[0] in "\"'" or key.startswith("KINOVI_API_KEY="):
        # What an env file leaves behind where quotes and names are taken literally.
        return "", f"{name} starts with a quotation mark or its own name; give the bare key"
    return key, None


def find_key(source: KeySource | ApiKey | None) -> ApiKey:
    """The key that was given, or that of the environment.

    Raises:
        ConfigurationError: There is none, or it cannot be sent; the message never quotes it.
    """
    if isinstance(source, ApiKey):
        return source
    if source is None:
        source = os.environ.get("KINOVI_API_KEY")
    if not source:
        del source
        msg = "no API key: set the environment variable KINOVI_API_KEY, or pass api_key="
        raise ConfigurationError(msg)
    return ApiKey(source)
