"""The plan: which counters a call meets, with what limits.

A plan follows from the policy, the subject, the model and the time alone, so it
is remembered and serves every such call until one of its windows ends or the
policy changes. Counters are named here and nowhere else:

    TENANT:b:BUDGET:GROUP:UNIT[START+LENGTH]   :s spent  :h held
    TENANT:w:WALLET:GROUP:UNIT                 :f funds  :b funds − spent  :h held

GROUP is `dimension=value` joined by commas, values percent-encoded; UNIT its
code; START and LENGTH of the window are in seconds. A budget whose unit or
window is changed counts anew; a changed limit keeps what is spent.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
from urllib.parse import quote, unquote

from tallystick.core.policy import DEFAULT_ALERTS, Budget, OnExpiry, Policy, Unit, Unmatched, WalletTemplate
from tallystick.core.price import Price
from tallystick.core.reasons import Reason, reason_of
from tallystick.core.subject import CALL_DIMENSIONS, Subject
from tallystick.core.windows import Span

FOREVER_MS = 2**62
NO_LIMIT = 2**64
WINDOW_NEVER_ENDS = "0"
WINDOW_ENDS_WITH_SESSION = "session"


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


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget that the call meets, in one window, for one group."""

    name: str
    group: str
    unit: Unit
    slot: int
    """The place of its unit among what a call takes (`Taken`)."""
    limit: int
    rank: Reason
    """What it refuses with; `NONE` never refuses."""
    start_ms: int
    """0 for a window without bounds."""
    end_ms: int
    """0 for a window without bounds."""
    end: str
    """`end_ms` as text, `0` or `session`: when its counters may be dropped."""
    counter: str
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
    remembered: dict[object, object] = field(default_factory=dict)
    """What adapters and stores derive from it once."""

    @cached_property
    def most(self) -> Taken:
        """What a call may take at most, so that each enforced budget can ever hold it."""
        most = [NO_LIMIT] * 4
        for line in self.budgets:
            if line.rank is not Reason.NONE:
                most[line.slot] = min(line.limit, most[line.slot])
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
        """The lines of a hold's record that do not depend on the call."""
        budgets = "\t".join(
            f"{line.counter}\t{line.unit}\t{line.limit}\t{int(line.rank)}\t{line.end}"
            for line in self.budgets
        )
        return f"{self.on_expiry}\n{budgets}\n{self.model}\n{self.price.pack() if self.price else ''}\n"

    @cached_property
    def body_tail(self) -> str:
        """The line after the subject: the alerts of each budget; absent where all are the usual ones."""
        alerts = [tuple(percent for _, percent in line.steps) for line in self.budgets]
        if all(each == DEFAULT_ALERTS for each in alerts):
            return ""
        return "\n" + "\t".join(",".join(map(str, each)) for each in alerts)


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


def make_plan(
    policy: Policy,
    subject: Subject,
    model: str,
    provider: str,
    price: Price | None,
    *,
    said: tuple[Unit, ...] | None,
    now_ms: int,
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
    wallets = () if free else tuple(_wallet_lines(policy, values, said))
    budgets = tuple(_budget_lines(policy.tenant, policy.budgets, values, now_ms))
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
        valid_until_ms=min((line.end_ms for line in budgets if line.end_ms), default=FOREVER_MS),
        refusal=refusal,
        on_expiry=policy.on_expiry,
        hold_ttl_ms=policy.hold_ttl_ms,
    )


def _wallet_lines(policy: Policy, values: dict[str, str], said: tuple[Unit, ...] | None) -> list[WalletLine]:
    lines = []
    for wallet in policy.wallets:
        if all(values[name] for name in wallet.per) and (said is None or wallet.unit in said):
            group = group_text(wallet.per, values)
            counter = wallet_counter(policy.tenant, wallet, group)
            lines.append(WalletLine(wallet.name, unquote(group), wallet.unit, counter))
    return lines


def _budget_lines(
    tenant: str, budgets: tuple[Budget, ...], values: dict[str, str], now_ms: int
) -> list[BudgetLine]:
    return [
        _budget_line(tenant, budget, values, now_ms)
        for budget in budgets
        if all(values[name] for name in budget.per) and budget.match.fits(values)
    ]


def _budget_line(tenant: str, budget: Budget, values: dict[str, str], now_ms: int) -> BudgetLine:
    group = group_text(budget.per, values)
    start_ms, end_ms = budget.window.bounds(now_ms) or (0, 0)
    window = f"{start_ms // 1000}+{(end_ms - start_ms) // 1000}" if end_ms else ""
    end = str(end_ms) if end_ms else WINDOW_NEVER_ENDS
    if budget.window.span is Span.SESSION:
        end = WINDOW_ENDS_WITH_SESSION
    return BudgetLine(
        name=budget.name,
        group=unquote(group),
        unit=budget.unit,
        slot=SLOTS[budget.unit],
        limit=budget.limit,
        rank=reason_of(budget),
        start_ms=start_ms,
        end_ms=end_ms,
        end=end,
        counter=f"{tenant}:b:{budget.name}:{group}:{budget.unit}{window}",
        steps=alert_steps(budget.limit, budget.alerts),
    )
