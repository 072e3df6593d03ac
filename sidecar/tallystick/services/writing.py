"""From decisions to responses."""

from collections import Counter
from collections.abc import Iterable, Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.core.decision import NOTHING, BudgetState, Decision, Refusal, WalletState
from tallystick.core.lots import Lot, LotKind
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.plan import BudgetLine, Plan, Taken, parse_counter
from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason
from tallystick.engine.answers import Balance, Extension
from tallystick.store.base import Released, Settled
from tallystick.v1 import budget_pb2 as pb

UNITS = {
    Unit.NANO_USD: pb.UNIT_NANO_USD,
    Unit.TOKENS: pb.UNIT_TOKENS,
    Unit.REQUESTS: pb.UNIT_REQUESTS,
    Unit.CONCURRENT: pb.UNIT_CONCURRENT,
}

LOT_KINDS = {
    LotKind.GRANT: pb.LOT_KIND_GRANT,
    LotKind.EARNED: pb.LOT_KIND_EARNED,
    LotKind.PAID: pb.LOT_KIND_PAID,
}


def write_decision(decision: Decision) -> pb.ReserveResponse:
    """An ALLOW or a DENY with every budget as it stands."""
    if decision.plan is not None:
        response = pb.ReserveResponse()
        response.CopyFrom(_template(decision.plan))
    else:
        response = _outline(decision.model, decision.price_version, decision.lines)
    response.reservation_id = decision.reservation_id
    response.cost.nano_usd = decision.nano_usd
    response.cost.tokens = decision.tokens
    if decision.refusal is None:
        response.result = pb.RESULT_ALLOW
        response.tally = decision.tally
        seconds, ms = divmod(decision.expires_ms, 1000)
        response.expires_at.seconds, response.expires_at.nanos = seconds, ms * 1_000_000
        taken = Taken(decision.nano_usd, decision.tokens)
        if decision.wallet is not None:
            response.wallet, response.wallet_group = decision.wallet.name, decision.wallet.group
    else:
        response.result = pb.RESULT_DENY
        response.refusal.CopyFrom(write_refusal(decision.refusal))
        taken = NOTHING
    values = iter(decision.values)
    for line, state in zip(decision.lines, response.budgets, strict=True):
        spent, held = next(values), next(values) + taken[line.slot]
        used = spent + held
        if used > MAX_AMOUNT:
            _fill(state, BudgetState(line, spent, held))
            continue
        state.spent, state.held, state.remaining = spent, held, line.limit - used
        if line.steps and used >= line.steps[0][0]:
            state.threshold_percent = BudgetState(line, spent, held).threshold_percent
    return response


def _template(plan: Plan) -> pb.ReserveResponse:
    """What all answers of a plan have in common, made once."""
    template = plan.remembered.get("response")
    if template is None:
        version = plan.price.version if plan.price else ""
        template = plan.remembered["response"] = _outline(plan.model, version, plan.budgets)
    assert isinstance(template, pb.ReserveResponse)
    return template


def _outline(model: str, price_version: str, lines: Sequence[BudgetLine]) -> pb.ReserveResponse:
    response = pb.ReserveResponse(model=model, price_version=price_version)
    for line in lines:
        state = response.budgets.add(
            name=line.name,
            group=line.group,
            unit=UNITS[line.unit],
            limit=line.limit,
            enforced=line.rank is not Reason.NONE,
        )
        if line.end_ms:
            state.window_start.CopyFrom(timestamp(line.start_ms))
            state.window_end.CopyFrom(timestamp(line.end_ms))
    return response


def _fill(message: pb.BudgetState, state: BudgetState) -> None:
    message.spent, message.held = clamp(state.spent), clamp(state.held)
    message.remaining = clamp(state.remaining)
    message.threshold_percent = state.threshold_percent


def write_budget(state: BudgetState) -> pb.BudgetState:
    """A budget as it stands."""
    message = _outline("", "", (state.line,)).budgets[0]
    _fill(message, state)
    return message


def write_refusal(refusal: Refusal) -> pb.Refusal:
    """What binds, and by how much."""
    message = pb.Refusal(
        reason=int(refusal.reason),  # type: ignore[arg-type]
        message=refusal.message,
        budget=refusal.budget,
        wallet=refusal.wallet,
        group=refusal.group,
        shortfall=clamp(refusal.shortfall),
        unit=UNITS[refusal.unit] if refusal.budget or refusal.wallet else pb.UNIT_UNSPECIFIED,
        retryable=refusal.retry_after_ms is not None,
    )
    if refusal.retry_after_ms is not None:
        message.retry_after.CopyFrom(duration(refusal.retry_after_ms))
    return message


def write_wallet(state: WalletState) -> pb.WalletState:
    """A wallet's counters."""
    return pb.WalletState(
        name=state.name,
        group=state.group,
        unit=UNITS[state.unit],
        funds=clamp(state.funds),
        spent=clamp(state.spent),
        held=clamp(state.held),
        available=clamp(state.available),
    )


def write_draws(drawn: Iterable[Lot]) -> list[pb.Draw]:
    """What was drawn from each lot, in the order of the first draw."""
    amounts: Counter[tuple[str, LotKind]] = Counter()
    for lot in drawn:
        amounts[lot.id, lot.kind] += lot.amount
    return [
        pb.Draw(lot=lot_id, kind=LOT_KINDS[kind], amount=clamp(n)) for (lot_id, kind), n in amounts.items()
    ]


def write_settled(reservation_id: str, settled: Settled) -> pb.SettleResponse:
    """What is charged now, and what paid for it."""
    response = pb.SettleResponse(
        reservation_id=reservation_id,
        charged=pb.Cost(nano_usd=settled.nano_usd, tokens=settled.tokens),
        estimated=settled.estimated,
        late=settled.late,
        drawn=write_draws(settled.drawn),
    )
    if settled.wallet:
        response.wallet, response.wallet_group, unit = parse_counter(settled.wallet)
        response.wallet_unit = UNITS[unit]
    return response


def write_released(reservation_id: str, released: Released) -> pb.ReleaseResponse:
    """What went back."""
    response = pb.ReleaseResponse(reservation_id=reservation_id)
    if released.known:
        response.released.nano_usd, response.released.tokens = released.nano_usd, released.tokens
    return response


def write_extension(reservation_id: str, answer: Extension | Decision) -> pb.ExtendResponse:
    """A longer hold, or a refusal that leaves it as it was."""
    response = pb.ExtendResponse(reservation_id=reservation_id)
    response.cost.nano_usd, response.cost.tokens = clamp(answer.nano_usd), clamp(answer.tokens)
    if isinstance(answer, Extension):
        response.result, response.tally = pb.RESULT_ALLOW, answer.tally
        response.expires_at.CopyFrom(timestamp(answer.expires_ms))
    else:
        assert answer.refusal is not None
        response.result = pb.RESULT_DENY
        response.refusal.CopyFrom(write_refusal(answer.refusal))
    return response


def write_balance(balance: Balance) -> pb.BalanceResponse:
    """The cascade with the wallet that would pay, and every budget."""
    payer = next((wallet.name for wallet in balance.wallets if wallet.available > 0), "")
    return pb.BalanceResponse(
        wallets=[write_wallet(wallet) for wallet in balance.wallets],
        effective_wallet=payer,
        budgets=[write_budget(state) for state in balance.budgets],
        policy_version=balance.policy_version,
    )


def clamp(amount: int) -> int:
    """An amount as 64 bits: the store counts on beyond them, an answer can't."""
    return max(-MAX_AMOUNT, min(MAX_AMOUNT, amount))


def timestamp(ms: int) -> Timestamp:
    """Unix milliseconds as a timestamp."""
    seconds, rest = divmod(ms, 1000)
    return Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def duration(ms: int) -> Duration:
    """Milliseconds as a duration."""
    seconds, rest = divmod(ms, 1000)
    return Duration(seconds=seconds, nanos=rest * 1_000_000)
