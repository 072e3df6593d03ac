"""The budgets of a tenant over gRPC."""

import grpc

from tallystick.v1 import admin_pb2 as apb
from tallystick.v1 import budget_pb2 as pb
from tests.e2e.books import Books
from tests.e2e.caller import Caller, fails

CODE = grpc.StatusCode
DAY_MS = 86_400_000
RULES = """
unmatched: allow
budgets:
  daily: {per: [user], limit: 0.0000001 USD, window: day, overage: 10%, alerts: [20, 50]}
  rolls: {limit: 500 tokens, window: rolling 30d, on_exhausted: alert}
  flight: {limit: 9 concurrent}
  unused: {per: [session], limit: 60 requests, window: session}
  watch: {limit: 60 requests, window: 1m}
"""


def test_every_budget_of_the_policy_is_listed_as_the_data_plane_has_it(caller: Caller) -> None:
    caller.apply(RULES)
    caller.settle(caller.allowed(30, 40).reservation_id, 25)
    caller.allowed(60, subject=pb.Subject(user="bob"))
    listed = caller.list_budgets()
    assert not listed.truncated
    found = [(each.state.name, each.state.group, each.window, each.on_exhausted) for each in listed.budgets]
    assert found[:5] == [
        ("daily", "user=bob", "day", apb.ON_EXHAUSTED_DENY),
        ("daily", "user=alice", "day", apb.ON_EXHAUSTED_DENY),
        ("rolls", "", "rolling 30d", apb.ON_EXHAUSTED_ALERT),
        ("flight", "", "", apb.ON_EXHAUSTED_DENY),
        ("unused", "", "session", apb.ON_EXHAUSTED_DENY),
    ]
    states = {(each.state.name, each.state.group): each.state for each in listed.budgets}
    for user in ("alice", "bob"):
        for name, group in (("daily", f"user={user}"), ("rolls", ""), ("flight", "")):
            assert states[name, group] == caller.budget(name, user=user)
    bob, unused = states["daily", "user=bob"], states["unused", ""]
    assert (bob.held, bob.remaining, bob.threshold_percent, bob.ceiling) == (60, 40, 50, 110)
    assert (unused.limit, unused.spent, unused.held, unused.unit) == (60, 0, 0, pb.UNIT_REQUESTS)


def test_one_budget_and_one_group(caller: Caller) -> None:
    caller.apply(RULES)
    for user in ("alice", "bob"):
        caller.allowed(5, subject=pb.Subject(user=user))
    assert [each.state.group for each in caller.list_budgets("daily").budgets] == ["user=alice", "user=bob"]
    (bob,) = caller.list_budgets("daily", user="bob").budgets
    assert (bob.state.group, bob.state.held) == ("user=bob", 5)


def test_a_window_that_ended_counts_no_more(caller: Caller, books: Books) -> None:
    caller.apply(RULES)
    caller.allowed(5)
    books.shift_clock(caller.tenant, DAY_MS)
    caller.balance()  # puts the clock of the sidecar right
    (daily,) = caller.list_budgets("daily").budgets
    assert (daily.state.group, daily.state.held) == ("", 0)


def test_what_there_is_not_is_said(caller: Caller) -> None:
    with fails(CODE.NOT_FOUND, f"tenant {caller.tenant} has no policy"):
        caller.list_budgets()
    caller.apply(RULES)
    with fails(CODE.INVALID_ARGUMENT, "budget: expected a budget of the policy (daily, rolls, flight, "):
        caller.list_budgets("nope")
    with fails(CODE.INVALID_ARGUMENT, "group: expected values of the budget's per: user"):
        caller.list_budgets("daily", team="search")
    with fails(CODE.INVALID_ARGUMENT, "group: expected a budget"):
        caller.list_budgets(user="alice")
    with fails(CODE.INVALID_ARGUMENT, "budget: "):
        caller.list_budgets("a\nb")
