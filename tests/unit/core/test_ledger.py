"""The replay of ledger entries to counters."""

import pytest

from tallystick.core.ledger import KINDS, Entry, replay

BODY = "charge\nacme:b:d::u\tu\t100\t9\t0\tacme:b:r::r\tr\t5\t7\t0\tacme:b:c::c\tc\t5\t8\t0\nm\n\n"


def entry(seq: int, kind: str, *, epoch: int = 1, entry_id: str = "a", **fields: object) -> Entry:
    common = {"kind": kind, "at": "1", "tenant": "acme", "id": entry_id}
    return Entry(f"{epoch}-{seq}", common | {name: str(value) for name, value in fields.items()})


def reserve(seq: int, nano: int = 60, **more: object) -> Entry:
    wallet: dict[str, object] = {"wallet": "acme:w:o::u", "wallet_unit": "u"}
    return entry(seq, "reserve", nano=nano, tokens=6, body=BODY, **(wallet | more))  # type: ignore[arg-type]


def settle(seq: int, nano: int, kind: str = "settle", **more: object) -> Entry:
    return entry(seq, kind, nano=nano, tokens=5, requests=1, **more)  # type: ignore[arg-type]


CREDIT = entry(1, "credit", entry_id="c", wallet="acme:w:o::u", unit="u", amount=500)
FUNDS = {"acme:w:o::u:f": 500}


def test_a_hold_is_held_and_then_spent() -> None:
    assert replay([CREDIT, reserve(2)]) == FUNDS | {
        "acme:w:o::u:b": 500, "acme:w:o::u:h": 60,
        "acme:b:d::u:h": 60, "acme:b:r::r:h": 1, "acme:b:c::c:h": 1,
    }  # fmt: skip
    assert replay([CREDIT, reserve(2), settle(3, 70)]) == FUNDS | {
        "acme:w:o::u:b": 430, "acme:b:d::u:s": 70, "acme:b:r::r:s": 1,
    }  # fmt: skip


def test_an_extension_is_held_too() -> None:
    more = entry(3, "extend", nano=15, tokens=1)
    assert replay([CREDIT, reserve(2), more])["acme:b:d::u:h"] == 75
    after = replay([CREDIT, reserve(2), more, settle(4, 70)])
    assert after == FUNDS | {"acme:w:o::u:b": 430, "acme:b:d::u:s": 70, "acme:b:r::r:s": 1}


def test_what_was_charged_before_is_replaced() -> None:
    expired = [CREDIT, reserve(2), settle(3, 60, "expire")]
    assert replay([*expired, settle(4, 10)]) == FUNDS | {
        "acme:w:o::u:b": 490, "acme:b:d::u:s": 10, "acme:b:r::r:s": 1,
    }  # fmt: skip
    assert replay([*expired, entry(4, "release")]) == FUNDS | {"acme:w:o::u:b": 500}


def test_a_tally_brings_its_own_counters() -> None:
    record = f"O\t9\t60\t6\t0\t0\t0\t\nc\t1\tacme:w:o::u\tu\t60\t6\t9\n{BODY}"
    assert replay([settle(1, 60, tally=record), settle(2, 45)]) == {
        "acme:w:o::u:b": -45, "acme:b:d::u:s": 45, "acme:b:r::r:s": 1,
    }  # fmt: skip


def test_an_id_may_be_used_again() -> None:
    after = replay([reserve(1), settle(2, 10), reserve(3, 5), settle(4, 3)])
    assert after == {"acme:w:o::u:b": -13, "acme:b:d::u:s": 13, "acme:b:r::r:s": 2}


def test_tenants_are_told_apart() -> None:
    other = Entry("1-2", reserve(2).fields | {"tenant": "b", "wallet": "b:w:o::u"})
    assert replay([reserve(1), other, settle(3, 10)])["b:w:o::u:h"] == 60


def test_a_hold_that_no_wallet_pays() -> None:
    after = replay([reserve(1, wallet="", wallet_unit=""), settle(2, 10)])
    assert after == {"acme:b:d::u:s": 10, "acme:b:r::r:s": 1}


@pytest.mark.contract(10)
@pytest.mark.parametrize("ids", [("1-1", "1-3"), ("1-2", "1-2"), ("1-2", "1-1")])
def test_a_gap_is_found(ids: tuple[str, str]) -> None:
    entries = [Entry(entry_id, entry(1, "policy").fields) for entry_id in ids]
    with pytest.raises(ValueError, match=f"a gap before {ids[1]}"):
        replay(entries)


@pytest.mark.contract(10)
def test_a_ledger_may_begin_anywhere_and_an_epoch_begins_anew() -> None:
    entries = [Entry(entry_id, entry(1, "refuse").fields) for entry_id in ("1-7", "1-8", "2-1", "2-2")]
    assert replay(entries) == {}


def test_an_unknown_kind_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="unknown kind of ledger entry: transfer"):
        replay([entry(1, "transfer")])
    assert "transfer" not in KINDS
