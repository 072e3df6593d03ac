"""Random walks over the verbs of a store."""

import contextlib
import random
from collections.abc import Awaitable, Callable

from tallystick.core.errors import (
    FundsMissing,
    IdMismatch,
    ReservationEnded,
    ReservationNotFound,
    TicketAnswered,
    TicketEnded,
    TicketNotFound,
)
from tallystick.core.learning import Pair
from tallystick.core.lots import LotKind
from tallystick.core.outcome import Mode
from tallystick.core.policy import Grant, Unit, WalletTemplate
from tallystick.store.asks import MoveKind
from tallystick.store.ticket_asks import AnswerKind
from tests.store.backends import RETENTION_MS
from tests.store.desk import DAY, MINUTE, ROLLING_HOUR, TOTAL, TTL_MS, Desk, budget

TICKET_ERRORS = (TicketAnswered, TicketEnded, TicketNotFound)
USER = WalletTemplate("user", ("user",))
GRANTED = WalletTemplate("granted", ("user",), grant=Grant(90, DAY, 30))
ORG = WalletTemplate("org")
LIMITS = {
    "nano_usd": budget("daily", 10_007),
    "tokens": budget("tokens", 10_007, Unit.TOKENS),
    "requests": budget("bursts", 73, Unit.REQUESTS, MINUTE),
    "concurrent": budget("in-flight", 73, Unit.CONCURRENT, TOTAL),
}
"""A budget of each unit."""
MORE_LIMITS = (
    budget("rolling", 901, window=ROLLING_HOUR, overage=77),
    budget("shared", 5_000, Unit.TOKENS, priorities=(("normal", 80),), alerts=(1, 2, 3)),
)
"""Budgets of every other sort."""


async def one_random_step(desk: Desk, dice: random.Random) -> None:
    """Any verb with any arguments; errors are answers, too."""
    reservation_id, nano, tokens = f"r{dice.randrange(12)}", dice.choice([0, 3, 40]), dice.choice([0, 9])
    user = dice.choice("ab")
    expires_ms = dice.choice([0, desk.backend.now_ms + 30_000, desk.backend.now_ms + RETENTION_MS])
    target = dice.choice(["", "user"])
    verbs: list[Callable[[], Awaitable[object]]] = [
        lambda: desk.reserve(nano, tokens, reservation_id=reservation_id, content="x", user=user),
        lambda: desk.reserve(nano, tokens, user=user),
        lambda: desk.settle(reservation_id, nano, tokens, mode=dice.choice(list(Mode))),
        lambda: desk.release(reservation_id),
        lambda: desk.extend(reservation_id, dice.choice(["", "e", "f"]), nano, tokens, user=user),
        lambda: desk.store.charge(desk.charging(reservation_id, nano, tokens, content="x", user=user)),
        lambda: desk.store.take([desk.taking(nano, tokens, user=user), desk.taking(0, 2)]),
        lambda: desk.credit("org", 100, kind=dice.choice(list(LotKind)[1:]), expires_ms=expires_ms),
        lambda: desk.move(dice.choice([MoveKind.DEBIT, MoveKind.ALLOCATE]), "org", target, nano, user=user),
        lambda: desk.move(MoveKind.RECLAIM, "user", "org", dice.choice([0, 2]), user=user),
        lambda: desk.store.learn(desk.policy.tenant, {Pair("m:1", user): {nano: 1}}),
        lambda: desk.store.sweep(0, 3),
        lambda: desk.ask_for_more(2, 901, f"t{dice.randrange(3)}", user=user),
        lambda: desk.answer(f"t{dice.randrange(3)}", dice.choice(list(AnswerKind)), 5, expires_ms),
    ]
    desk.backend.move(dice.choice([0, 1, 1_000, TTL_MS]))
    if dice.random() < 0.02:
        desk.backend.move(dice.choice([RETENTION_MS, 2 * RETENTION_MS]))
    with contextlib.suppress(FundsMissing, IdMismatch, ReservationEnded, ReservationNotFound, *TICKET_ERRORS):
        await dice.choice(verbs)()
