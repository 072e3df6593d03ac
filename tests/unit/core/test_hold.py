"""The record of a hold, and the tally sealed from it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument
from tallystick.core.hold import (
    HeldBudget,
    Hold,
    State,
    hold_body,
    price_in,
    read_hold,
    seal,
    tally_record,
    unseal,
)
from tallystick.core.lots import Lot, LotKind
from tallystick.core.matching import make_plan
from tallystick.core.packing import compact
from tallystick.core.plan import Plan
from tallystick.core.policy import (
    DEFAULT_ALERTS,
    Budget,
    OnExpiry,
    Policy,
    Unit,
    WalletTemplate,
    used_dimensions,
)
from tallystick.core.price import Price, Rate
from tallystick.core.subject import Subject
from tallystick.core.windows import Span, Window

NOW_MS = 1_760_000_000_000
KEY = bytes(range(32))
AMOUNTS = st.integers(-(2**70), 2**70)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
LOTS = st.builds(Lot, TEXTS, st.sampled_from(LotKind), st.integers(0, 2**50), AMOUNTS, TEXTS, AMOUNTS)
PRICE = Price("p 1", Rate(1), Rate(2), Rate(3), Rate(4, ((5, 6),)), Rate(7))


def plan_of(*budgets: Budget, on_expiry: OnExpiry = OnExpiry.CHARGE, price: Price | None = PRICE) -> Plan:
    wallets = (WalletTemplate("org", unit=Unit.TOKENS),)
    policy = Policy(
        "acme", 4, wallets, budgets, on_expiry=on_expiry, dimensions=used_dimensions(wallets, budgets)
    )
    subject = Subject(user="a:b,c=d\té", session="s")
    return make_plan(policy, subject, "gpt/5 ü", "openai", price, said=None, now_ms=NOW_MS)


BUDGETS = (
    Budget("daily", 2**63 - 1, Unit.NANO_USD, Window(Span.DAY), per=("user",)),
    Budget("in-flight", 5, Unit.CONCURRENT, Window(Span.TOTAL), alerts=(50,)),
    Budget("loops", 3, Unit.REQUESTS, Window(Span.SESSION), per=("session",), alerts=()),
    Budget("rolling", 100, Unit.NANO_USD, Window(Span.ROLLING, 3_600_000), overage=20),
)


@given(
    st.builds(
        Hold,
        st.sampled_from(State),
        st.integers(0, 2**50),
        *[AMOUNTS] * 5,
        ended_as=TEXTS,
        drawn=st.lists(LOTS, max_size=3),
        answer=st.lists(TEXTS).map(compact),
        body=st.recursive(TEXTS, st.lists, max_leaves=5).map(compact),
    )
)
def test_a_record_is_read_as_it_was_written(hold: Hold) -> None:
    assert read_hold(hold.text()) == hold


def test_a_record_tells_what_its_plan_said() -> None:
    plan = plan_of(*BUDGETS, on_expiry=OnExpiry.RELEASE)
    text = tally_record(
        content="c", reserved_ms=NOW_MS, wallet='"acme:w:org::t","t"', nano_usd=7, tokens=8,
        expires_ms=NOW_MS + 9, body=hold_body(plan, "user=a"),
    )  # fmt: skip
    hold = read_hold(text)
    assert (hold.state, hold.expires_ms, hold.nano_usd, hold.tokens) == (State.OPEN, NOW_MS + 9, 7, 8)
    assert (hold.content, hold.wallet, hold.ttl_ms) == ("c", ("acme:w:org::t", Unit.TOKENS), 9)
    assert (hold.model, hold.price, hold.on_expiry) == ("gpt/5 ü", PRICE, OnExpiry.RELEASE)
    assert (hold.subject, hold.asked_model, hold.drawn) == ("user=a", "gpt/5 ü", [])
    assert hold.budgets == [
        HeldBudget(b.counter, b.unit, b.ceiling, b.rank, b.end, b.limit, b.alerts) for b in plan.budgets
    ]
    assert [b.alerts for b in hold.budgets] == [DEFAULT_ALERTS, (50,), (), DEFAULT_ALERTS]
    assert [b.limit for b in hold.budgets] == [2**63 - 1, 5, 3, 100]
    assert [b.ceiling for b in hold.budgets] == [2**63 - 1, 5, 3, 120]
    assert hold.text() == text


def test_a_record_without_wallet_budgets_and_price() -> None:
    body = hold_body(plan_of(price=None), "")
    text = tally_record(
        content="c", reserved_ms=1, wallet='"",""', nano_usd=0, tokens=0, expires_ms=2, body=body
    )
    hold = read_hold(text)
    assert (hold.wallet, hold.budgets, hold.price, price_in(text)) == (None, [], None, None)
    refused = read_hold(Hold(State.REFUSED, 1, 0, 0).text())
    assert (refused.wallet, refused.budgets) == (None, [])


def test_the_usual_alerts_and_limits_take_no_room() -> None:
    usual = plan_of(Budget("d", 5, Unit.NANO_USD, Window(Span.DAY)))
    counter = "acme:b:d::u1759968000+86400"
    assert read_body(usual)[1] == [[counter, "u", "5", 9, "1760054400000"]]
    more = plan_of(Budget("d", 5, Unit.NANO_USD, Window(Span.DAY), overage=2))
    assert read_body(more)[1] == [[counter, "u", "7", 9, "1760054400000", "5"]]
    silent = plan_of(Budget("d", 5, Unit.NANO_USD, Window(Span.DAY), alerts=()))
    assert read_body(silent)[1] == [[counter, "u", "5", 9, "1760054400000", "5", []]]


def read_body(plan: Plan) -> Any:
    return json.loads(hold_body(plan, ""))


def test_the_price_in_a_record_is_found_without_reading_the_rest() -> None:
    text = Hold(State.OPEN, 1, 0, 0, body=hold_body(plan_of(*BUDGETS), "")).text()
    assert price_in(text) == read_hold(text).price == PRICE


RECORD = "O\t1\t2\t3\t0\t0\t0\t\nc\t1\t\t\nbody\nof\nmany lines, ünd\n"
TALLY = seal(KEY, "acme", "r-1", RECORD)


def test_a_tally_gives_the_record_back() -> None:
    assert unseal(KEY, "acme", "r-1", TALLY) == RECORD


@pytest.mark.contract(5)
@pytest.mark.parametrize("at", range(len(TALLY)))
def test_a_tally_altered_anywhere_is_refused(at: int) -> None:
    for by in (1, 0x80):
        forged = bytearray(TALLY)
        forged[at] ^= by
        with pytest.raises(InvalidArgument, match="was altered"):
            unseal(KEY, "acme", "r-1", bytes(forged))


@pytest.mark.contract(5)
@given(st.binary(max_size=200))
def test_what_is_no_tally_is_refused(tally: bytes) -> None:
    with pytest.raises(InvalidArgument, match="was altered"):
        unseal(KEY, "acme", "r-1", tally)


@pytest.mark.contract(5)
@pytest.mark.parametrize("forged", [TALLY[:-1], TALLY + b"x", TALLY[:17], TALLY[1:], TALLY * 2, b""])
def test_a_tally_cut_or_lengthened_is_refused(forged: bytes) -> None:
    with pytest.raises(InvalidArgument, match="was altered"):
        unseal(KEY, "acme", "r-1", forged)


@pytest.mark.contract(5)
@pytest.mark.parametrize(
    ("tenant", "reservation_id"), [("acme", "r-2"), ("acm", "r-1"), ("", ""), ("r-1", "acme")]
)
def test_the_tally_of_another_reservation_is_refused(tenant: str, reservation_id: str) -> None:
    with pytest.raises(InvalidArgument, match="is of another"):
        unseal(KEY, tenant, reservation_id, TALLY)


@pytest.mark.contract(5)
def test_a_tally_of_another_key_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="was altered"):
        unseal(KEY[::-1], "acme", "r-1", TALLY)
