"""The replay of ledger entries to counters."""

import json

import pytest

from tallystick.core.ledger import KINDS, Entry, replay

LINES = [["acme:b:d::u", "u", "100", 9, "0"], ["acme:b:r::r", "r", "5", 7, "0"]]
LINES += [["acme:b:c::c", "c", "5", 8, "0"]]
BODY = json.dumps(["charge", LINES, "m", "", "", "m"])


def entry(seq: int, kind: str, *, epoch: int = 1, entry_id: str = "a", **fields: object) -> Entry:
    common = {"kind": kind, "at": "1", "tenant": "acme", "id": entry_id}
    return Entry(f"{epoch}-{seq}", common | {name: str(value) for name, value in fields.items()})


def reserve(seq: int, nano: int = 60, **more: object) -> Entry:
    fields: dict[str, object] = {"wallet": "acme:w:o::u", "wallet_unit": "u", "body": BODY}
    return entry(seq, "reserve", nano=nano, tokens=6, **(fields | more))  # type: ignore[arg-type]


def settle(seq: int, nano: int, kind: str = "settle", **more: object) -> Entry:
    fields = {"nano": nano, "tokens": 5, "requests": 1, "lapsed": 0} | more
    return entry(seq, kind, **fields)  # type: ignore[arg-type]


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
    assert replay([*expired, entry(4, "release", lapsed=0)]) == FUNDS | {"acme:w:o::u:b": 500}


def test_a_tally_brings_its_own_counters() -> None:
    record = f'["O",9,"60","6","0","0","0","",""]\n["c",1,"acme:w:o::u","u","60","6",9]\n{BODY}'
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


WALLET = {"wallet": "acme:w:o::u", "unit": "u"}


def move(seq: int, kind: str, amount: int, **more: object) -> Entry:
    return entry(seq, kind, amount=amount, **(WALLET | more))  # type: ignore[arg-type]


def test_funds_come_lapse_and_leave() -> None:
    granted = [move(1, "grant", 100, lapsed=0), move(2, "grant", 100, lapsed=30)]
    assert replay(granted) == {"acme:w:o::u:f": 170, "acme:w:o::u:b": 170}
    gone = [*granted, move(3, "lapse", 20), move(4, "debit", 50, to="")]
    assert replay(gone) == {"acme:w:o::u:f": 100, "acme:w:o::u:b": 100}
    for kind in ("allocate", "reclaim"):
        assert replay([*gone, move(5, kind, 60, to="acme:w:u:user=a:u")]) == {
            "acme:w:o::u:f": 40, "acme:w:o::u:b": 40,
            "acme:w:u:user=a:u:f": 60, "acme:w:u:user=a:u:b": 60,
        }  # fmt: skip


def test_what_lapses_with_a_refund_was_never_there() -> None:
    expired = [CREDIT, reserve(2), settle(3, 60, "expire")]
    after = replay([*expired, settle(4, 10, lapsed=40)])
    assert (after["acme:w:o::u:f"], after["acme:w:o::u:b"]) == (460, 450)


def test_an_alert_moves_nothing() -> None:
    told = entry(3, "alert", budget="acme:b:d::u", percent=50, used=60, limit=100)
    assert replay([CREDIT, reserve(2), told]) == replay([CREDIT, reserve(2)])


def test_a_rolling_window_is_replayed_bucket_by_bucket() -> None:
    """An hour in buckets of a minute: a call is of the minute of its reserve, until that has left."""
    body = json.dumps(["charge", [["acme:b:d::u~3600", "u", "100", 9, "~3600000+60000"]], "m", "", "", "m"])

    def at(ms: int, made: Entry) -> Entry:
        return Entry(made.entry_id, made.fields | {"at": str(ms)})

    entries = [at(119_999, reserve(1, body=body)), at(200_000, settle(2, 70))]
    spent = {"acme:w:o::u:b": -70, "acme:b:d::u~3600:s@1": 70}
    assert replay(entries) == spent
    corrected = {"acme:w:o::u:b": -75, "acme:b:d::u~3600:s@1": 75}
    assert replay([*entries, at(2 * 60_000 + 3_600_000 - 1, settle(3, 75))]) == corrected
    assert replay([*entries, at(2 * 60_000 + 3_600_000, settle(3, 75))]) == spent | {"acme:w:o::u:b": -75}


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
