"""How the in-memory store charges what nothing was held for; read it beside `lua/_direct.lua`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick.core.errors import IdMismatch
from tallystick.core.hold import Hold, State, read_hold
from tallystick.core.packing import compact
from tallystick.core.plan import SLOTS, Plan, Taken, WalletLine
from tallystick.core.reasons import Reason
from tallystick.core.weigh import weigh
from tallystick.store.asks import Again, ChargeAsk, Charged, TakeAsk, Took, Verdict
from tallystick.store.memory_funds import append_opened, open_and_lapse
from tallystick.store.memory_partition import END_BEFORE_REFUSAL, Partition, drawn_text
from tallystick.store.memory_reserve import Opened


class ChargingInMemory:
    """The part of `MemoryStore` that charges without a hold."""

    def _begin(self, tenant: str) -> Partition:
        raise NotImplementedError

    def _stale(self, p: Partition, plan: Plan) -> bool:
        raise NotImplementedError

    async def charge(self, ask: ChargeAsk) -> Charged | Again:
        """See `Store.charge`."""
        plan, p = ask.plan, self._begin(ask.plan.tenant)
        known = p.hold.get(_name(ask), "")
        if known and not known.startswith(f'["{State.REFUSED}"'):
            hold = read_hold(known)
            if hold.content != ask.content:
                raise IdMismatch(f"id {ask.charge_id!r} was used for something else")
            return _charged(p, plan.tenant, hold, changed=False)
        if self._stale(p, plan):
            return Again(p.now_ms, p.version(plan.tenant))
        p.end_due(16)
        step = _Step(p)
        payer = step.payer(plan.wallets, _amounts(ask)) or (plan.wallets[-1] if plan.wallets else None)
        return _charged(p, plan.tenant, step.charge(ask, payer), changed=True)

    async def take(self, asks: Sequence[TakeAsk]) -> Took | Again:
        """See `Store.take`."""
        tenant = asks[0].charge.plan.tenant
        p = self._begin(tenant)
        step = _Step(p)
        if any(_name(each.charge) in p.hold for each in asks):
            values = [step.values(each) for each in asks]
            return Took(p.stamp(), [Verdict(Reason.NONE, 0, each) for each in values])
        if any(self._stale(p, each.charge.plan) for each in asks):
            return Again(p.now_ms, p.version(tenant))
        more = p.end_due(16)
        judged = [step.judge(each) for each in asks]
        if not any(verdict.reason for verdict, _ in judged):
            for each, (_, payer) in zip(asks, judged, strict=True):
                if any(_amounts(each.charge)):
                    step.charge(each.charge, payer)
        elif more:
            p.end_due(END_BEFORE_REFUSAL)
            return Again(p.now_ms, p.version(tenant))
        return Took(p.stamp(), [verdict for verdict, _ in judged])


@dataclass
class _Wallet:
    """A wallet as one step finds it."""

    opened: Opened
    lapsed: int
    taken: int = 0
    """What the step charges to it."""
    granted: bool = False


@dataclass
class _Step:
    """One atomic step over several charges."""

    p: Partition
    wallets: dict[str, _Wallet] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)
    """By counter, what the charges that fit will spend."""

    def wallet(self, line: WalletLine) -> _Wallet:
        if line.counter not in self.wallets:
            self.wallets[line.counter] = _Wallet(*open_and_lapse(self.p, line))
        return self.wallets[line.counter]

    def payer(self, lines: Sequence[WalletLine], taken: Taken) -> WalletLine | None:
        """The first wallet with enough."""
        for line in lines:
            wallet, amount = self.wallet(line), taken[SLOTS[line.unit]]
            if not amount or amount <= wallet.opened.account.available - wallet.taken:
                return line
        return None

    def values(self, ask: TakeAsk) -> list[int]:
        """Balance and held of each wallet, spent and held of each budget, with what came before."""
        plan, values = ask.charge.plan, []
        for wallet in map(self.wallet, plan.wallets):
            values += [wallet.opened.account.balance, wallet.opened.account.held + wallet.taken]
        for line in plan.budgets:
            spent, held = self.p.values((line,))
            values += [spent + self.spent.get(line.counter, 0), held]
        return values

    def judge(self, ask: TakeAsk) -> tuple[Verdict, WalletLine | None]:
        """Whether it fits, and the wallet that pays."""
        plan, values, amounts = ask.charge.plan, self.values(ask), _amounts(ask.charge)
        needs = ask.needs._replace(concurrent=0)
        suspended = self.p.suspended(plan.tenant)
        reason, binds, payer = Reason.TENANT_SUSPENDED if suspended else ask.refusal, 0, None
        if not reason:
            limits = [(line.unit, line.ceiling, line.rank) for line in plan.budgets]
            reason, binds = weigh(limits, values[2 * len(plan.wallets) :], needs)
        if not reason and plan.wallets:
            payer = self.payer(plan.wallets, needs)
            reason = Reason.NONE if payer else Reason.INSUFFICIENT_FUNDS
        if not reason:
            for line in plan.budgets:
                self.spent[line.counter] = self.spent.get(line.counter, 0) + amounts[line.slot]
        if payer:
            self.wallet(payer).taken += amounts[SLOTS[payer.unit]]
        return Verdict(reason, binds, values), payer

    def charge(self, ask: ChargeAsk, payer: WalletLine | None) -> Hold:
        """Charges it, and keeps the answer."""
        p, tenant, amounts = self.p, ask.plan.tenant, _amounts(ask)
        if payer and not amounts[SLOTS[payer.unit]]:
            payer = None
        counter, unit = (payer.counter, str(payer.unit)) if payer else ("", "")
        answer = compact([ask.content, p.now_ms, counter, unit])
        hold = Hold(State.LOST, p.now_ms, 0, 0, ended_as=ask.content, answer=answer, body=ask.body)
        if payer:
            self._grant(tenant, self.wallet(payer))
        account, lapsed = p.pay(hold, ask.charge_id, ask.nano_usd, ask.tokens)
        p.append(
            "charge", tenant, ask.charge_id,
            nano=ask.nano_usd, tokens=ask.tokens, requests=ask.requests, wallet=counter, wallet_unit=unit,
            usage=ask.usage, body=ask.body, drawn=drawn_text(hold), lapsed=lapsed,
        )  # fmt: skip
        p.charge(tenant, ask.charge_id, hold, account, amounts[:3])
        hold.state = State.SETTLED
        p.hold[_name(ask)] = hold.text()
        p.schedule(f"r:{_name(ask)}", p.now_ms + (ask.keep_ms or p.retention_ms))
        return hold

    def _grant(self, tenant: str, wallet: _Wallet) -> None:
        """What a new period brings is granted before anything is drawn."""
        opened = wallet.opened
        if opened.came and not wallet.granted:
            append_opened(self.p, tenant, opened, wallet.lapsed)
            self.p.keep_account(opened.line.counter, opened.account)
            wallet.granted = True


def _name(ask: ChargeAsk) -> str:
    return f"{ask.plan.tenant}:r:{ask.charge_id}"


def _amounts(ask: ChargeAsk) -> Taken:
    return Taken(ask.nano_usd, ask.tokens, ask.requests, 0)


def _charged(p: Partition, tenant: str, hold: Hold, *, changed: bool) -> Charged:
    return Charged(
        p.stamp(),
        hold.charged_nano_usd,
        hold.charged_tokens,
        changed,
        hold.wallet[0] if hold.wallet else "",
        tuple(hold.drawn),
        p.values(hold.budgets),
        p.suspended(tenant),
    )
