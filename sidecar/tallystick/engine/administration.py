"""The use-cases of those who operate it: policies and wallets."""

import asyncio
import os
from collections.abc import Callable
from typing import NamedTuple

from tallystick.core.counters import group_text, parse_counter, wallet_counter
from tallystick.core.decision import UNIT_NAMES, WalletState, amount_text
from tallystick.core.errors import FundsMissing, InvalidArgument, PolicyNotFound
from tallystick.core.lots import Account, Lot
from tallystick.core.matching import grant_line
from tallystick.core.plan import WalletLine
from tallystick.core.policy import Policy, Unit, WalletTemplate
from tallystick.engine.budget_list import ListedBudget, list_budgets
from tallystick.engine.calls import BudgetsCall, CreditCall, MoveCall, WalletRef
from tallystick.engine.holds import Holds
from tallystick.engine.ledger_tail import LedgerTail
from tallystick.engine.paging import Cut, Page, Pages
from tallystick.engine.partitions import Partitions
from tallystick.engine.planner import Planner
from tallystick.engine.policies import ApplyCall, Policies
from tallystick.engine.tenants import Tenants
from tallystick.engine.ticket_answers import TicketAnswers
from tallystick.store.asks import CreditAsk, MoveAsk, MoveKind
from tallystick.store.base import Store


class Move(NamedTuple):
    """Funds that were moved, and the wallets as they are now."""

    move_id: str
    amount: int
    drawn: tuple[Lot, ...]
    """Empty in the answer to a retry."""
    source: WalletState
    target: WalletState | None


class Administration:
    """Changes what the engine decides by."""

    def __init__(self, store: Store, planner: Planner) -> None:
        self._store = store
        self._planner = planner
        self.pages = Pages()
        self.on_funds: Callable[[CreditCall | MoveCall], None] = lambda _: None
        """Is told of credits and moves that were made, with their ids."""
        self.tenants = Tenants(store, self.pages, planner.suspensions)
        self.policies = Policies(store, planner, self.pages)
        self.partitions = Partitions(store)
        self.tail = LedgerTail(store, planner.clock, self.pages)
        self.holds = Holds(store, planner.clock, self.pages)
        self.tickets = TicketAnswers(store, self.pages, self)

    async def credit(self, call: CreditCall) -> tuple[WalletState, str]:
        """Adds a lot of funds; the wallet, and the credit's id.

        Raises:
            InvalidArgument, IdMismatch, StoreUnavailable.
        """
        line, now_ms = await self.check_credit(call), self._planner.clock.now_ms()
        credit_id = call.credit_id or f"c-{os.urandom(12).hex()}"
        ask = CreditAsk(line, call.amount, credit_id, call.reason, call.kind, call.expires_ms)
        account = await self._store.credit(call.tenant, ask)
        self.on_funds(call._replace(credit_id=credit_id))
        return _state(line, account, now_ms), credit_id

    async def check_credit(self, call: CreditCall) -> WalletLine:
        """The wallet of a credit that could be given.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        rules, now_ms = await self._planner.load(call.tenant), self._planner.clock.now_ms()
        line = _line(rules.policy, WalletRef(call.wallet, call.group), call.unit, now_ms)
        if 0 < call.expires_ms <= now_ms:
            raise InvalidArgument("expires_at", "expected a time in the future")
        return line

    async def move(self, call: MoveCall) -> Move:
        """Takes available funds out of a wallet: a debit, or a transfer to another wallet.

        Raises:
            InvalidArgument, IdMismatch, FundsMissing, StoreUnavailable.
        """
        rules, now_ms = await self._planner.load(call.tenant), self._planner.clock.now_ms()
        place = "from" if call.target else "wallet"
        source = _line(rules.policy, call.source, call.unit, now_ms, place)
        target = _line(rules.policy, call.target, None, now_ms, "to") if call.target else None
        if target and target.unit is not source.unit:
            unit = UNIT_NAMES[source.unit]
            raise InvalidArgument("to.wallet", f"expected a wallet in {unit}, as {source.name} is")
        if target and target.counter == source.counter:
            raise InvalidArgument("to", "expected another wallet than from")
        move_id = call.move_id or f"{'t' if target else 'd'}-{os.urandom(12).hex()}"
        ask = MoveAsk(call.kind, move_id, source, target, call.amount, call.reason)
        try:
            moved = await self._store.move(call.tenant, ask)
        except FundsMissing as error:
            raise _missing(ask, error.available) from None
        self.on_funds(call._replace(move_id=move_id))
        receiver = _state(target, moved.target, now_ms) if target and moved.target else None
        return Move(move_id, moved.amount, moved.drawn, _state(source, moved.source, now_ms), receiver)

    async def wallets(self, tenant: str, page: Page) -> Cut[WalletState]:
        """Wallets of the tenant that have counters, with what this period grants, granted or not.

        Raises:
            InvalidArgument, StoreUnavailable.
        """
        self.pages.place(page)  # a forged token needs no look at the store
        rules = await self._planner.load(tenant)
        found = await self._store.wallets(tenant)
        cut = self.pages.cut(list(found), page, str)
        now_ms, templates = self._planner.clock.now_ms(), {w.name: w for w in rules.policy.wallets}
        states = []
        for counter in cut.found:
            name, group, unit = parse_counter(counter)
            wallet = templates.get(name)
            grant = wallet.grant if wallet and _is_of(wallet, counter) else None
            line = WalletLine(name, group, unit, counter, grant_line(grant, now_ms))
            states.append(_state(line, found[counter], now_ms))
        return Cut(states, cut.token)

    async def budgets(self, call: BudgetsCall, page: Page) -> Cut[ListedBudget]:
        """The budgets of the policy in force, or the one asked for, as they stand in their windows of now.

        Raises:
            PolicyNotFound, InvalidArgument, StoreUnavailable.
        """
        start = int(self.pages.place(page) or 0)
        policy = (await self._planner.load(call.tenant)).policy
        if not policy.version:
            raise PolicyNotFound(f"tenant {call.tenant} has no policy")
        counters = await self._store.budgets(call.tenant)
        now_ms = self._planner.clock.now_ms()
        # A hundred thousand groups take half a second, for which no Reserve should wait.
        end = start + page.size
        found = await asyncio.to_thread(list_budgets, policy, call, counters, now_ms, (start, end + 1))
        return Cut(found[: page.size], self.pages.token(page, str(end)) if len(found) > page.size else "")

    async def apply_policy(self, document: str, expected: int | None) -> tuple[str, int, bool]:
        """Puts a policy in force; its tenant, version, and whether anything changed."""
        return await self.policies.apply(ApplyCall(document, expected))


def _line(policy: Policy, ref: WalletRef, unit: Unit | None, now_ms: int, place: str = "") -> WalletLine:
    """A wallet of the policy; `place` is the field of the request that names it.

    Raises:
        InvalidArgument: there is none of this name, unit or group.
    """
    within = f"{place}." if place else ""
    wallet = next((w for w in policy.wallets if w.name == ref.wallet), None)
    if wallet is None:
        names = ", ".join(w.name for w in policy.wallets) or "none"
        raise InvalidArgument(
            f"{within}wallet", f"expected a wallet of the policy ({names}), got {ref.wallet!r}"
        )
    if unit not in (None, wallet.unit):
        raise InvalidArgument("unit", f"expected the unit of wallet {wallet.name}, {UNIT_NAMES[wallet.unit]}")
    if set(ref.group) != set(wallet.per) or not all(ref.group.values()):
        wanted = ", ".join(wallet.per) or "nothing"
        raise InvalidArgument(f"{within}group", f"expected a value for each of the wallet's per: {wanted}")
    counter = wallet_counter(policy.tenant, wallet, group_text(wallet.per, ref.group))
    return WalletLine(*parse_counter(counter), counter, grant_line(wallet.grant, now_ms))


def _is_of(wallet: WalletTemplate, counter: str) -> bool:
    """Whether a counter is one of the wallet's; its unit or `per` may have been others before."""
    group, unit = counter.split(":")[3:]
    per = tuple(part.partition("=")[0] for part in group.split(",")) if group else ()
    return (per, unit) == (wallet.per, wallet.unit)


def _state(line: WalletLine, account: Account, now_ms: int) -> WalletState:
    """A wallet with what its period grants, granted or not."""
    if line.grant:
        account.renew(line.grant, now_ms)
    return WalletState.of(line, account)


def _missing(ask: MoveAsk, available: int) -> FundsMissing:
    """How much there is, in words."""
    source, unit = ask.source, ask.source.unit
    name = f"{source.name} ({source.group})" if source.group else source.name
    there = amount_text(available, unit) if available > 0 else "nothing"
    origin = f" of what {ask.target.name} gave" if ask.target and ask.kind is MoveKind.RECLAIM else ""
    wanted = f", not {amount_text(ask.amount, unit)}" if ask.amount else ""
    return FundsMissing(f"wallet {name} has {there} available{origin}{wanted}", available)
