"""Keys: how they are made, what they tell, and what is never shown of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.consumer_keys import (
    digest_of,
    hash_key,
    hide_keys,
    is_ours,
    make_key,
    parse_hash,
    tenant_of,
)
from tallystick.core.errors import InvalidArgument

TENANTS = st.from_regex(r"[a-z0-9_.-]{1,64}", fullmatch=True)
SECRET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg"


@given(TENANTS)
def test_a_key_names_its_tenant_and_holds_256_bits(tenant: str) -> None:
    key = make_key(tenant)
    found = re.fullmatch(rf"tally-{re.escape(tenant)}-([0-9A-Za-z]{{43}})", key)
    assert found
    assert 62**43 >= 2**256
    assert tenant_of(key) == tenant
    assert is_ours(key)


def test_no_key_comes_twice() -> None:
    assert len({make_key("a") for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("tenant", ["", "Acme", "a b", "a" * 65, "ä", "a\n"])
def test_a_key_for_a_tenant_that_cannot_be(tenant: str) -> None:
    with pytest.raises(InvalidArgument, match=r"tenant: expected 1 to 64"):
        make_key(tenant)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "tally-",
        "sk-proj-abc",
        f"tally-acme-{SECRET[:-1]}",
        f"tally-acme-{SECRET}x",
        f"tally-acme-{SECRET[:-1]}!",
        f"tally-Acme-{SECRET}",
        f"tally--{SECRET}",
        f"TALLY-acme-{SECRET}",
        f" tally-acme-{SECRET}",
        f"tally-acme-{SECRET}\n",
        f"tally-{'a' * 65}-{SECRET}",
    ],
)
def test_what_is_no_key_of_ours_names_no_tenant(key: str) -> None:
    assert tenant_of(key) is None


def test_tenants_with_dashes() -> None:
    assert tenant_of(f"tally-a-b--{SECRET}") == "a-b-"
    assert tenant_of(f"tally-tally-{SECRET}") == "tally"


@given(st.text(alphabet=st.characters()))
def test_the_hash_of_any_text_is_read_back(key: str) -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", hash_key(key))
    assert parse_hash(hash_key(key)) == digest_of(key)


def test_the_hash_is_plain_sha256() -> None:
    # The digest that FIPS 180-2 gives for "abc".
    assert hash_key("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "sha1:" + "a" * 64, "a" * 64])
def test_what_is_no_hash(text: str) -> None:
    assert parse_hash(text) is None


@given(st.text(), st.text())
def test_keys_are_hidden_wherever_they_are(before: str, after: str) -> None:
    key = make_key("acme")
    assert key[-43:] not in hide_keys(before + key + after)
    assert hide_keys("tally sticks, tally-ho") == "tally sticks, tally-ho"
