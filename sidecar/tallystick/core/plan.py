"""The plan: which counters a call meets, with what limits.

A plan follows from the policy, the subject, the model and the time alone, so it
is remembered and serves every such call until one of its windows ends or the
policy changes. Counters are named here and nowhere else:

    TENANT:b:BUDGET:GROUP:UNIT[START+LENGTH]   :s spent  :h held  :a alerts fired
    TENANT:b:BUDGET:GROUP:UNIT~LENGTH          of a rolling window, with :s@N spent in sub-bucket N
    TENANT:w:WALLET:GROUP:UNIT                 :f funds  :b funds − spent  :h held
                                               :l lots   :g the period last granted

GROUP is `dimension=value` joined by commas, values percent-encoded; UNIT its
code; START and LENGTH of the window are in seconds. A budget whose unit or
window is changed counts anew; a changed limit keeps what is spent.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from urllib.parse import quote, unquote

from tallystick.core.lots import GrantLine
from tallystick.core.packing import compact, quoted
from tallystick.core.policy import (
    DEFAULT_ALERTS,
    Budget,
    Grant,
    OnExpiry,
    Policy,
    Unit,
    Unmatched,
    WalletTemplate,
)
from tallystick.core.price import Price
from tallystick.core.reasons import Reason, reason_of
from tallystick.core.subject import CALL_DIMENSIONS, Subject
from tallystick.core.windows import Span

FOREVER_MS = 2**62
NO_LIMIT = 2**64
WINDOW_NEVER_ENDS = "0"
WINDOW_ENDS_WITH_SESSION = "session"
NORMAL = "normal"
"""The priority of a call that gives none."""


class Taken(NamedTuple):
    """What a call takes of each unit; `SLOTS` says which is which."""

    nano_usd: int
    tokens: int
    requests: int = 1
    concurrent: int = 1


SLOTS = {Unit.NANO_USD: 0, Unit.TOKENS: 1, Unit.REQUESTS: 2, Unit.CONCURRENT: 3}


@dataclass(frozen=True, slots=True)
class WalletLine:
    """One wallet of the cascade."""

    name: str
    group: str
    """As `user=alice`."""
    unit: Unit
    counter: str
    grant: GrantLine | None = None


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget that the call meets, in one window, for one group."""

    name: str
    group: str
    unit: Unit
    slot: int
    """The place of its unit among what a call takes (`Taken`)."""
    limit: int
    ceiling: int
    """What this call may bring it to: the limit and its overage, or its priority's share."""
    rank: Reason
    """What it refuses with; `NONE` never refuses."""
    start_ms: int
    """0 for a window without bounds."""
    end_ms: int
    """0 for a window without bounds."""
    end: str
    """`end_ms` as text, `0`, `session`, or `~LENGTH+BUCKET` of a rolling window, in ms."""
    counter: str
    alerts: tuple[int, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    """(amount, percent) of each alert threshold, ascending."""


@dataclass(eq=False)
class Plan:
    """What a call of this subject and model meets."""

    tenant: str
    policy_version: int
    model: str
    price: Price | None
    wallets: tuple[WalletLine, ...]
    budgets: tuple[BudgetLine, ...]
    valid_from_ms: int
    valid_until_ms: int
    refusal: Reason
    """A refusal that no counter can change, or `NONE`."""
    on_expiry: OnExpiry
    hold_ttl_ms: int
    asked_model: str = ""
    """The model that was asked for."""
    rungs: tuple["Plan", ...] = ()
    """The plans of the models to use instead, the best first."""
    soft: tuple[int, ...] | None = None
    """What the model that was asked for may bring each budget to before the rungs are tried."""
    remembered: dict[object, object] = field(default_factory=dict)
    """What adapters and stores derive from it once."""

    @cached_property
    def most(self) -> Taken:
        """What a call may take at most, so that each enforced budget can ever hold it."""
        most = [NO_LIMIT] * 4
        for line in self.budgets:
            if line.rank is not Reason.NONE:
                most[line.slot] = min(line.ceiling, most[line.slot])
        return Taken(*most)

    def refuses(self, nano_usd: int, tokens: int) -> Reason:
        """The refusal that no counter can change, for a call that takes this."""
        if self.refusal and self.refusal < Reason.CAN_NEVER_FIT:
            return self.refusal
        most = self.most
        if nano_usd > most.nano_usd or tokens > most.tokens or most.requests < 1 or most.concurrent < 1:
            return Reason.CAN_NEVER_FIT
        return self.refusal

    @cached_property
    def body_head(self) -> str:
        """The body of a hold's record up to the subject."""
        budgets = compact([_cells(line) for line in self.budgets])
        price = quoted(self.price.pack() if self.price else "")
        return f'["{self.on_expiry}",{budgets},{quoted(self.model)},{price},'

    @cached_property
    def body_tail(self) -> str:
        """The body of a hold's record after the subject."""
        return f",{quoted(self.asked_model)}]"


def _cells(line: BudgetLine) -> list[object]:
    """A budget in a hold's record; the limit and the alerts only where they are not the usual ones."""
    cells: list[object] = [line.counter, line.unit, str(line.ceiling), int(line.rank), line.end]
    if line.alerts != DEFAULT_ALERTS:
        return [*cells, str(line.limit), line.alerts]
    return cells if line.limit == line.ceiling else [*cells, str(line.limit)]


def alert_steps(limit: int, alerts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """(amount, percent) of each threshold of a limit."""
    return tuple((-(-limit * percent // 100), percent) for percent in alerts)


def group_text(dimensions: tuple[str, ...], values: dict[str, str]) -> str:
    """A group as it stands in a counter's name."""
    return ",".join(f"{name}={quote(values[name], safe='@/+ ')}" for name in dimensions)


def wallet_counter(tenant: str, wallet: WalletTemplate, group: str) -> str:
    """The counter of a wallet."""
    return f"{tenant}:w:{wallet.name}:{group}:{wallet.unit}"


def parse_counter(counter: str) -> tuple[str, str, Unit]:
    """A counter's name, readable group and unit."""
    _, _, name, group, rest = counter.split(":")
    return name, unquote(group), Unit(rest[0])


def counter_window(counter: str) -> tuple[int, int]:
    """Start and end of a budget counter's window in Unix ms; zeros where it has none."""
    start, _, length = counter.rpartition(":")[2][1:].partition("+")
    return (int(start) * 1000, (int(start) + int(length)) * 1000) if length else (0, 0)


class Bucket(NamedTuple):
    """The sub-bucket of a rolling window that an instant is in."""

    number: int
    leaves_ms: int
    """When it has left the window."""


def rolling_ms(end: str) -> tuple[int, int] | None:
    """Length and sub-bucket of a rolling window, from a line's `end`."""
    if not end.startswith("~"):
        return None
    length, _, bucket = end[1:].partition("+")
    return int(length), int(bucket)


def bucket_of(end: str, at_ms: int) -> Bucket | None:
    """The sub-bucket of this instant; None where the window does not roll."""
    rolls = rolling_ms(end)
    if rolls is None:
        return None
    length_ms, bucket_ms = rolls
    number = at_ms // bucket_ms
    return Bucket(number, (number + 1) * bucket_ms + length_ms)


def make_plan(
    policy: Policy,
    subject: Subject,
    model: str,
    provider: str,
    price: Price | None,
    *,
    said: tuple[Unit, ...] | None,
    now_ms: int,
    asked_model: str = "",
) -> Plan:
    """Finds every wallet and budget that a call meets.

    `said` are the units in which the caller gave the cost, so that no price is
    needed and no other wallet can pay; None where it is to be priced. A
    dimension that the subject does not give has no group: wallets and budgets
    `per` it do not apply.
    """
    values = {name: subject.value(name) for name in policy.dimensions if name not in CALL_DIMENSIONS}
    values["model"], values["provider"] = model, provider
    free = price is not None and price.free
    wallets = () if free else tuple(_wallet_lines(policy, values, said, now_ms))
    budgets = tuple(_budget_lines(policy, values, subject.priority or NORMAL, now_ms))
    ends = [line.end_ms for line in budgets if line.end_ms]
    ends += [line.grant.expires_ms for line in wallets if line.grant]
    refusal = Reason.NONE
    if model and not policy.models.allows(model):
        refusal = Reason.MODEL_NOT_ALLOWED
    elif price is None and said is None:
        refusal = Reason.PRICE_UNKNOWN
    elif not free and not wallets and policy.wallets:
        refusal = Reason.INSUFFICIENT_FUNDS
    elif not free and not wallets and not budgets and policy.unmatched is Unmatched.DENY:
        refusal = Reason.NO_BUDGET_MATCHED
    return Plan(
        tenant=policy.tenant,
        policy_version=policy.version,
        model=model,
        price=price,
        wallets=wallets,
        budgets=budgets,
        valid_from_ms=max((line.start_ms for line in budgets), default=0),
        valid_until_ms=min(ends, default=FOREVER_MS),
        refusal=refusal,
        on_expiry=policy.on_expiry,
        hold_ttl_ms=policy.hold_ttl_ms,
        asked_model=asked_model or model,
    )


def grant_line(grant: Grant | None, now_ms: int) -> GrantLine | None:
    """A wallet's grant in the period of this instant."""
    if grant is None:
        return None
    bounds = grant.every.bounds(now_ms)
    assert bounds is not None
    span, period = grant.every.span.value, grant.every.period(now_ms)
    return GrantLine(grant.amount, grant.rollover, span, period, bounds[1])


def _wallet_lines(
    policy: Policy, values: dict[str, str], said: tuple[Unit, ...] | None, now_ms: int
) -> list[WalletLine]:
    lines = []
    for wallet in policy.wallets:
        if all(values[name] for name in wallet.per) and (said is None or wallet.unit in said):
            group = group_text(wallet.per, values)
            counter = wallet_counter(policy.tenant, wallet, group)
            grant = grant_line(wallet.grant, now_ms)
            lines.append(WalletLine(wallet.name, unquote(group), wallet.unit, counter, grant))
    return lines


def ceiling_of(budget: Budget, priority: str) -> int:
    """What a call of this priority may bring a budget to; one without a priority is `normal`."""
    share = dict(budget.priorities).get(priority or NORMAL, 100)
    return budget.limit + budget.overage if share == 100 else budget.limit * share // 100


def _budget_lines(policy: Policy, values: dict[str, str], priority: str, now_ms: int) -> list[BudgetLine]:
    return [
        _budget_line(policy.tenant, budget, values, priority, now_ms)
        for budget in policy.budgets
        if all(values[name] for name in budget.per) and budget.match.fits(values)
    ]


def _budget_line(
    tenant: str, budget: Budget, values: dict[str, str], priority: str, now_ms: int
) -> BudgetLine:
    group = group_text(budget.per, values)
    start_ms, end_ms = budget.window.bounds(now_ms) or (0, 0)
    window = f"{start_ms // 1000}+{(end_ms - start_ms) // 1000}" if end_ms else ""
    end = str(end_ms) if end_ms else WINDOW_NEVER_ENDS
    if budget.window.span is Span.SESSION:
        end = WINDOW_ENDS_WITH_SESSION
    elif budget.window.span is Span.ROLLING:
        window = f"~{budget.window.length_ms // 1000}"
        end = f"~{budget.window.length_ms}+{budget.window.bucket_ms}"
    return BudgetLine(
        name=budget.name,
        group=unquote(group),
        unit=budget.unit,
        slot=SLOTS[budget.unit],
        limit=budget.limit,
        ceiling=ceiling_of(budget, priority),
        rank=reason_of(budget),
        start_ms=start_ms,
        end_ms=end_ms,
        end=end,
        counter=f"{tenant}:b:{budget.name}:{group}:{budget.unit}{window}",
        alerts=budget.alerts,
        steps=alert_steps(budget.limit, budget.alerts),
    )
