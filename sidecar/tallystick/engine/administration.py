"""The use-cases of those who operate it: policies and wallets."""

import os

from tallystick.core.counters import group_text, parse_counter, wallet_counter
from tallystick.core.decision import UNIT_NAMES, WalletState
from tallystick.core.errors import InvalidArgument
from tallystick.core.matching import grant_line
from tallystick.core.plan import WalletLine
from tallystick.engine.calls import CreditCall
from tallystick.engine.planner import Planner
from tallystick.policyfile import load_policy
from tallystick.store.asks import CreditAsk, StoredPolicy
from tallystick.store.base import Store


class Administration:
    """Changes what the engine decides by."""

    def __init__(self, store: Store, planner: Planner) -> None:
        self._store = store
        self._planner = planner

    async def credit(self, call: CreditCall) -> tuple[WalletState, str]:
        """Adds funds; the wallet, and the credit's id."""
        rules = await self._planner.load(call.tenant)
        wallet = next((w for w in rules.policy.wallets if w.name == call.wallet), None)
        if wallet is None:
            names = ", ".join(w.name for w in rules.policy.wallets) or "none"
            raise InvalidArgument("wallet", f"expected a wallet of the policy ({names}), got {call.wallet!r}")
        if call.unit is not wallet.unit:
            raise InvalidArgument(
                "unit", f"expected the unit of wallet {wallet.name}, {UNIT_NAMES[wallet.unit]}"
            )
        if set(call.group) != set(wallet.per) or not all(call.group.values()):
            wanted = ", ".join(wallet.per) or "nothing"
            raise InvalidArgument("group", f"expected a value for each of the wallet's per: {wanted}")
        counter = wallet_counter(call.tenant, wallet, group_text(wallet.per, call.group))
        grant = grant_line(wallet.grant, self._planner.clock.now_ms())
        line = WalletLine(wallet.name, parse_counter(counter)[1], wallet.unit, counter, grant)
        credit_id = call.credit_id or f"c-{os.urandom(12).hex()}"
        ask = CreditAsk(line, call.amount, credit_id, call.reason)
        return WalletState.of(line, await self._store.credit(call.tenant, ask)), credit_id

    async def wallets(self, tenant: str) -> list[WalletState]:
        """Every wallet of the tenant that has counters."""
        found = await self._store.wallets(tenant)
        return [
            WalletState.of(WalletLine(*parse_counter(counter), counter), account)
            for counter, account in found.items()
        ]

    async def apply_policy(self, document: str, expected: int | None) -> tuple[str, int, bool]:
        """Puts a policy in force; its tenant, version, and whether anything changed."""
        tenant = load_policy(document).tenant
        version, changed = await self._store.apply_policy(tenant, document, expected)
        await self._planner.load(tenant)
        return tenant, version, changed

    async def policy(self, tenant: str) -> StoredPolicy | None:
        """The policy in force."""
        return await self._store.policy(tenant)
