"""Holds that the store has lost, or was never told of, and holds again. Lines 5 and 13."""

from typing import Any

import pytest

from tallystick.core.errors import ReservationEnded
from tallystick.core.policy import Budget, OnExpiry, WalletTemplate
from tallystick.core.reasons import Reason
from tallystick.store.asks import Extended, Refused, Replayed
from tests.store.audit import check_all, kinds
from tests.store.backends import RETENTION_MS, Backend
from tests.store.desk import MINUTE, ROLLING_HOUR, TTL_MS, Desk, budget, desk_at
from tests.store.test_contract_ends import ALL, ORG, lose, values

pytestmark = pytest.mark.contract(13)
MARK = "WITHOUT_STORE"


async def restored(desk: Desk, reservation_id: str, record: str = "") -> bool:
    """Whether that changed anything."""
    record = record or desk.tallies[reservation_id]
    return await desk.store.restore(desk.policy.tenant, reservation_id, record, MARK)


async def one_that_is_lost(backend: Backend, *parts: WalletTemplate | Budget, **more: Any) -> Desk:
    """A desk whose hold `a` of 60 and 6 the store has forgotten."""
    desk = await desk_at(backend, *(parts or ALL), funds=1_000, **more)
    await lose(desk, "a")
    return desk


async def test_it_is_held_as_its_record_says_and_once(backend: Backend) -> None:
    desk = await one_that_is_lost(backend)
    assert [await restored(desk, "a"), await restored(desk, "a")] == [True, False]
    assert await desk.balance() == values((0, 0, 0), (60, 6, 1))
    entry = backend.state().log[-1].fields
    assert (entry["kind"], entry["outcome"], entry["tally"]) == ("reserve", MARK, desk.tallies["a"])
    check_all(backend.state())


async def test_it_goes_on_like_any_other(backend: Backend) -> None:
    desk = await one_that_is_lost(backend)
    record = desk.tallies["a"]
    for name in ("a", "b", "c"):
        await restored(desk, name, record)
    assert type(await desk.reserve(60, 6, reservation_id="a")) is Replayed
    assert type(await desk.extend("a", "e", 40, 4)) is Extended
    settled = await desk.settle("a", 50, 5)
    assert (settled.nano_usd, settled.late, settled.held_nano_usd) == (50, False, 100)
    assert (await desk.release("b")).nano_usd == 60
    backend.move(TTL_MS)
    assert await desk.balance() == values((110, 11, 2), (0, 0, 0))  # c has expired
    check_all(backend.state())
    assert kinds(backend.state().log).count("expire") == 1


async def test_no_limit_and_no_empty_wallet_stops_it(backend: Backend) -> None:
    desk = await one_that_is_lost(
        backend, ORG, budget("daily", 100), budget("rolling", 100, window=ROLLING_HOUR)
    )
    record = desk.tallies["a"]
    for name in ("a", "b", "c"):
        assert await restored(desk, name, record)
    assert await desk.balance() == [1_000, 1_000, 180, 0, 180, 0, 180]
    refused = await desk.refused(1)
    assert type(refused) is Refused
    assert refused.reason is Reason.BUDGET_EXHAUSTED
    for name in ("a", "b", "c"):
        await desk.settle(name, 60)
    assert await desk.balance() == [1_000, 820, 0, 180, 0, 180, 0]
    check_all(backend.state())


async def test_what_was_released_or_has_ended_stays_so(backend: Backend) -> None:
    desk = await one_that_is_lost(backend)
    assert (await desk.release("a")).known is False
    await restored(desk, "b", desk.tallies["a"])
    await desk.settle("b", 50, 5)
    before = backend.dump()
    assert [await restored(desk, "a"), await restored(desk, "b", desk.tallies["a"])] == [False, False]
    assert backend.dump() == before
    check_all(backend.state())


@pytest.mark.parametrize(("on_expiry", "spent"), [(OnExpiry.CHARGE, 60), (OnExpiry.RELEASE, 0)])
async def test_one_that_should_have_expired_expires_then(
    backend: Backend, on_expiry: OnExpiry, spent: int
) -> None:
    desk = await one_that_is_lost(backend, ORG, budget("short", 100, window=MINUTE), on_expiry=on_expiry)
    backend.move(TTL_MS + 120_000)
    assert await restored(desk, "a")
    assert (await desk.balance())[:3] == [1_000, 1_000 - spent, 0]
    check_all(backend.state())


async def test_a_record_is_good_for_as_long_as_ends_are_remembered(backend: Backend) -> None:
    desk = await one_that_is_lost(backend)
    backend.move(TTL_MS + RETENTION_MS - 1)
    assert await restored(desk, "b", desk.tallies["a"])
    backend.move(1)
    before = backend.dump()
    with pytest.raises(ReservationEnded):
        await restored(desk, "a")
    assert backend.dump() == before
