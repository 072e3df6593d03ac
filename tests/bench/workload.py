"""The one call that every cell makes: three wallets, five budgets, counted tokens."""

from collections.abc import Sequence

from tallystick.v1 import admin_pb2
from tallystick.v1 import budget_pb2 as pb

TENANT = "acme"
IN_FLIGHT_BUDGET = "in-flight"
BATCH = 32
NANO_USD = 10**9

# No window of less than an hour: the end of one makes every call in flight ask the store twice.
POLICY = """\
tenant: acme
prices: {models: {house: {input: 0.40, cached_input: 0.04, output: 1.60}}}
wallets:
  user: {per: [user]}
  team: {per: [team]}
  org: {}
cascade: [user, team, org]
holds: {ttl: 1h}
budgets:
  daily: {per: [user], limit: 50000 USD, window: day}
  weekly: {per: [repository], limit: 90000 USD, window: week}
  production: {match: {environment: prod}, per: [service], limit: 90000 USD, window: month,
               on_exhausted: alert}
  bursts: {per: [user], limit: 900M requests, window: 1h}
  in-flight: {per: [service], limit: 900M concurrent}
"""

TICKETS_POLICY = POLICY.replace(
    "limit: 50000 USD, window: day", "limit: 50000 USD, window: day, on_exhausted: ticket"
)
"""The same, under a budget whose refusals open tickets."""

SUBJECT = pb.Subject(
    org="acme",
    team="search",
    user="alice@example.com",
    service="review-bot",
    repository="acme/shop",
    environment="prod",
    workflow="review",
    session="0b9f6c1e",
)


def credit_request() -> admin_pb2.CreditWalletRequest:
    """More than a run spends: 80 million calls."""
    return admin_pb2.CreditWalletRequest(
        tenant=TENANT,
        wallet="user",
        group={"user": SUBJECT.user},
        amount=90_000 * NANO_USD,
        unit=pb.UNIT_NANO_USD,
    )


def reserve_request(reservation_id: str = "") -> pb.ReserveRequest:
    """A Reserve; without an id the sidecar makes one, so the same bytes are a new call each time."""
    return pb.ReserveRequest(
        tenant=TENANT,
        reservation_id=reservation_id,
        subject=SUBJECT,
        model="house",
        tokens=pb.TokenEstimate(input=1200, max_output=400),
    )


def batch_request(size: int = BATCH) -> pb.ReserveBatchRequest:
    """Reserves in one call."""
    return pb.ReserveBatchRequest(requests=[reserve_request()] * size)


def settle_request(reserved: pb.ReserveResponse) -> pb.SettleRequest:
    """The Settle of a reservation, with its tally and what was used."""
    return pb.SettleRequest(
        tenant=TENANT,
        reservation_id=reserved.reservation_id,
        tally=reserved.tally,
        outcome=pb.OUTCOME_COMPLETED,
        usage=pb.Usage(input=1000, cache_read=200, output=300),
    )


def balance_request() -> pb.BalanceRequest:
    """Asks for the counters that these calls change."""
    return pb.BalanceRequest(tenant=TENANT, subject=SUBJECT, model="house")


def open_holds(budgets: Sequence[pb.BudgetState]) -> int:
    """How many holds are open: each counts one in the budget of calls in flight."""
    return next(budget.held for budget in budgets if budget.name == IN_FLIGHT_BUDGET)
