"""The part of the store on Valkey or Redis that charges what nothing was held for."""

from collections.abc import Sequence
from typing import Any

from tallystick.core.errors import IdMismatch
from tallystick.core.lots import read_lots
from tallystick.core.packing import compact
from tallystick.core.plan import Plan
from tallystick.core.reasons import Reason
from tallystick.store.arguments import stamp_of, values_of, wallet_cells
from tallystick.store.asks import Again, ChargeAsk, Charged, TakeAsk, Took, Verdict
from tallystick.store.script_runner import ScriptRunner

CHARGED, DENY, AGAIN, REPLAY, MISMATCH = range(5)


class ChargingOnValkey:
    """See `Store.charge` and `Store.take`."""

    _runner: ScriptRunner
    _retention_ms: int

    async def charge(self, ask: ChargeAsk) -> Charged | Again:
        """See `Store.charge`."""
        plan = ask.plan
        args = [*self._head((plan,), ask.keep_ms), *_cells(ask)]
        reply = await self._runner.run("charge", plan.tenant, args)
        if reply[0] == AGAIN:
            return Again(reply[1], int(reply[2]))
        if reply[0] == MISMATCH:
            raise IdMismatch(f"id {ask.charge_id!r} was used for something else")
        return _charged(reply, changed=reply[0] == CHARGED)

    async def take(self, asks: Sequence[TakeAsk]) -> Took | Again:
        """See `Store.take`."""
        first = asks[0].charge
        args = self._head([each.charge.plan for each in asks], first.keep_ms)
        for each in asks:
            nano_usd, tokens, requests, _ = each.needs
            args += [*_cells(each.charge), int(each.refusal), nano_usd, tokens, requests]
        reply = await self._runner.run("take", first.plan.tenant, args)
        if reply[0] == AGAIN:
            return Again(reply[1], int(reply[2]))
        verdicts = [
            Verdict(Reason(why) if why else Reason.NONE, binds, values_of(funds + values))
            for why, binds, funds, values in reply[4]
        ]
        return Took(stamp_of(reply), verdicts)

    def _head(self, plans: Sequence[Plan], keep_ms: int) -> list[object]:
        """What the charges of one step have in common: they hold while all of their plans do."""
        from_ms = max(plan.valid_from_ms for plan in plans)
        until_ms = min(plan.valid_until_ms for plan in plans)
        head = [plans[0].tenant, plans[0].policy_version, from_ms, until_ms, self._retention_ms]
        return [*head, keep_ms or self._retention_ms]


def _cells(ask: ChargeAsk) -> list[object]:
    """A charge as the scripts take it (`lua/_direct.lua`)."""
    wallets = compact([wallet_cells(line) for line in ask.plan.wallets])
    cells: list[object] = [ask.charge_id, ask.content, ask.nano_usd, ask.tokens, ask.requests]
    return [*cells, ask.usage, wallets, ask.body]


def _charged(reply: list[Any], *, changed: bool) -> Charged:
    _, _, _, _, nano_usd, tokens, wallet, drawn, values, suspended = reply
    lots = tuple(read_lots(drawn.decode()))
    amounts, counters = (int(nano_usd), int(tokens)), values_of(values)
    return Charged(stamp_of(reply), *amounts, changed, wallet.decode(), lots, counters, suspended == 1)
