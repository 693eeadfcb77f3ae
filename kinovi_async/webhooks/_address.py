"""Which address a submission carries, and which of those that come back are genuine.

    https://app.example.com/kinovi/v1/<run>/<job>/<attempt>/<mac>

The API signs nothing, so the address itself is the proof: its last part is a MAC over the
others. Whoever knows an address may hint about that one job, and can do nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

__all__ = ["Address", "Signer", "split_path"]

MAC_BYTES: Final = 16
"""128 bits: nobody guesses one, and the address stays short."""
LONGEST_KEY: Final = 1000
"""Bytes of a job's key in UTF-8 that fit into an address. With a longer key the whole would
pass 2,000 characters, which some servers on the way refuse; such a job is polled."""

# What leads to the mount is whatever a server or a framework makes of it; Litestar ends
# whatever it mounts with a slash.
_PATH: Final = re.compile(
    r"(?:.*/)?v1/([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{2,1400})/([1-9][0-9]{0,8})/([A-Za-z0-9_-]{22})/?",
    re.DOTALL,
)
_LONGEST_PATH: Final = 8192
_NOBODY: Final = b"the secret of a receiver that does not exist"


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of an address, as text of the address; nothing says yet that it is genuine."""

    run: str
    """Of the ledger that the job is in."""
    job: str
    attempt: str
    mac: str

    @property
    def key(self) -> str | None:
        """The job's key, None when it is none."""
        try:
            return decoded(self.job).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None


class Signer:
    """Makes and knows the addresses of one ledger's jobs.

    Args:
        run: Names the ledger.
        secrets: The first one signs, each of them is good for a proof.
    """

    __slots__ = ("_secrets", "run")

    def __init__(self, run: str, secrets: Sequence[bytes]) -> None:
        self.run = run
        self._secrets = tuple(secrets)

    def __repr__(self) -> str:
        return f"<Signer of run {self.run}>"

    def path(self, key: str, attempt: int) -> str | None:
        """The path below the public URL, None for a key that is too long for one."""
        try:
            job = key.encode()
        except UnicodeEncodeError:
            return None
        if not 0 < len(job) <= LONGEST_KEY:
            return None
        signed = f"{self.run}/{encoded(job)}/{attempt}"
        return f"v1/{signed}/{_mac(self._secrets[0], signed)}"

    def proves(self, address: Address) -> bool:
        """Whether the address was made here; takes as long for any answer."""
        signed = f"{address.run}/{address.job}/{address.attempt}"
        found = [hmac.compare_digest(_mac(each, signed), address.mac) for each in self._secrets]
        return any(found) and address.run == self.run


NOBODYS = Signer("", [_NOBODY])
"""Proves nothing, and takes as long for it as the others."""


def split_path(path: str) -> Address | None:
    """The parts of a request's path, wherever the receiver is mounted; None: it is no address."""
    found = _PATH.fullmatch(path) if len(path) <= _LONGEST_PATH else None
    return None if found is None else Address(*found.groups())


def encoded(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The bytes again.

    Raises:
        binascii.Error: it is no such text.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encoded(data) != text:  # the last character has bits to spare
        raise binascii.Error
    return data


def _mac(secret: bytes, signed: str) -> str:
    message = f"kinovi-async webhook v1\n{signed}".encode()
    return encoded(hmac.digest(secret, message, sha256)[:MAC_BYTES])
