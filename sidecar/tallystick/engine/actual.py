"""From what a Settle reports to what is charged."""

from typing import NamedTuple

from tallystick.core.errors import InvalidArgument, ReservationNotFound
from tallystick.core.hold import Terms, terms_of
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, SettleCall
from tallystick.store.base import Store


class Actual(NamedTuple):
    """What is to be charged. Of a reported cost, a part of 0 beside one that isn't was not said: None."""

    nano_usd: int | None
    tokens: int | None
    usage: str = ""
    """Tokens by class, as the ledger keeps them."""
    terms: Terms | None = None
    """Of the hold, where they were looked at."""


NOTHING = Actual(0, 0)


async def actual_of(store: Store, call: SettleCall, tally: str) -> Actual:
    """What is to be charged, by the price of the hold; `tally`: the record in it, or empty.

    Raises:
        InvalidArgument, ReservationNotFound, StoreUnavailable.
    """
    actual = call.actual
    if isinstance(actual, Cost):
        unsaid = 0 if actual.nano_usd == actual.tokens else None
        free = actual.nano_usd and (await _terms(store, call, tally)).free
        return Actual(0 if free else actual.nano_usd or unsaid, actual.tokens or unsaid)
    assert isinstance(actual, Usage)
    terms = await _terms(store, call, tally)
    if terms.price is None:
        raise InvalidArgument("actual", "expected a cost: the reservation was made by one, without a price")
    nano_usd = terms.price.charge_nano_usd(actual)
    tokens = actual.total
    if nano_usd > MAX_AMOUNT or tokens > MAX_AMOUNT:
        raise InvalidArgument("usage", "expected at most 2^63 - 1 nano-dollars and tokens")
    usage = ",".join([f"{name}={n}" for name, n in zip(Usage._fields, actual, strict=True) if n])
    return Actual(nano_usd, tokens, usage, terms)


async def _terms(store: Store, call: SettleCall, tally: str) -> Terms:
    """Those of the hold, from its tally or else the store."""
    if tally:
        return terms_of(tally)
    hold = await store.hold(call.tenant, call.reservation_id)
    if hold is None or hold.empty:
        raise ReservationNotFound(f"no reservation {call.reservation_id!r}, and no tally came with it")
    return terms_of(hold.text())
