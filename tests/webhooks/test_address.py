"""Which addresses are genuine."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from kinovi_async.webhooks._address import Address, Signer, encoded, split_path

SIGNER = Signer("run", [b"a secret of sixteen"])


def address(key: str = "job", attempt: int = 1, *, signer: Signer = SIGNER) -> Address:
    path = signer.path(key, attempt)
    assert path is not None
    found = split_path(f"/mounted/here/{path}")
    assert found is not None
    return found


@given(st.text(min_size=1, max_size=200), st.integers(1, 10**9 - 1))
def test_what_was_signed_is_known_again(key: str, attempt: int) -> None:
    found = address(key, attempt)
    assert (found.run, found.key, int(found.attempt)) == ("run", key, attempt)
    assert SIGNER.proves(found)


def test_the_mac_has_128_bits() -> None:
    mac = address().mac
    assert len(base64.urlsafe_b64decode(mac + "==")) == 16


def test_no_part_can_be_exchanged() -> None:
    first, second = address("one", 1), address("two", 2)
    other = address("one", 1, signer=Signer("other", [b"another secret of 16"]))
    for forged in (
        Address(first.run, second.job, first.attempt, first.mac),
        Address(first.run, first.job, second.attempt, first.mac),
        Address(first.run, first.job, first.attempt, second.mac),
        Address(other.run, first.job, first.attempt, first.mac),
        other,
    ):
        assert not SIGNER.proves(forged)


def test_an_address_of_another_run_with_the_same_secret_is_not_proven() -> None:
    assert not SIGNER.proves(address(signer=Signer("other", [b"a secret of sixteen"])))


def test_an_old_secret_proves_and_the_new_one_signs() -> None:
    rotated = Signer("run", [b"a newer secret of 16", b"a secret of sixteen"])
    assert rotated.proves(address())
    assert not SIGNER.proves(address(signer=rotated))
    assert not Signer("run", [b"a newer secret of 16"]).proves(address())


@given(st.binary(min_size=16, max_size=16))
def test_no_other_mac_is_taken(mac: bytes) -> None:
    first = address()
    forged = Address(first.run, first.job, first.attempt, encoded(mac))
    assert SIGNER.proves(forged) == (forged.mac == first.mac)


@given(st.text(max_size=300))
def test_any_path_is_none_or_four_parts(path: str) -> None:
    found = split_path(path)
    assert found is None or (found.run and found.job and found.attempt and found.mac)


def test_what_is_no_address() -> None:
    good = f"/{SIGNER.path('job', 1)}"
    assert split_path(good) is not None
    assert split_path(f"{good}/") == split_path(good)
    for path in (
        "", "/", "/v1", good + "//", good + "\n", good + "A", good[:-1], good.replace("v1", "v2"),
        good.replace("/1/", "/01/"), good.replace("/1/", "/0/"), good.replace("/1/", "/-1/"),
        good.replace("/1/", "/\u0661/"), good.replace("run", "run%2f"), "/" * 9000 + good, f"x{good}",
        good.replace("/v1/", "/../v1/../"),
    ):  # fmt: skip
        found = split_path(path)
        assert found is None or path == f"x{good}", path


def test_a_key_is_what_was_encoded_and_nothing_like_it() -> None:
    """Base64 has several spellings of some bytes; one of them was signed."""
    assert Address("run", encoded(b"a"), "1", "").key == "a"
    assert Address("run", "YR", "1", "").key is None
    assert Address("run", "Y", "1", "").key is None
    assert Address("run", encoded(b"\xff\xfe"), "1", "").key is None


def test_keys_that_fit_no_address() -> None:
    assert SIGNER.path("", 1) is None
    assert SIGNER.path("x" * 1001, 1) is None
    assert SIGNER.path("\ud800", 1) is None
    path = SIGNER.path("x" * 1000, 999_999)
    assert path is not None
    assert len(path) < 1500


def test_a_signer_does_not_show_its_secret() -> None:
    assert "sixteen" not in repr(SIGNER)
