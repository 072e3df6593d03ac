"""From decisions to responses."""

from tallystick.core.counters import parse_counter
from tallystick.core.decision import NOTHING, BudgetState, Decision
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.plan import Plan, Taken
from tallystick.engine.answers import Balance, Extension
from tallystick.services.writing_states import (
    UNITS,
    clamp,
    fill,
    outline,
    timestamp,
    write_budget,
    write_draws,
    write_refusal,
    write_wallet,
)
from tallystick.services.writing_tickets import write_ticket
from tallystick.services.writing_why import write_advice, write_downgrade
from tallystick.store.asks import Charged, Released, Settled
from tallystick.v1 import budget_pb2 as pb

RESULTS = {"DENY": pb.RESULT_DENY, "HOLD": pb.RESULT_HOLD}


def write_decision(decision: Decision) -> pb.ReserveResponse:
    """An ALLOW or a DENY with every budget as it stands."""
    if decision.plan is not None:
        response = pb.ReserveResponse()
        response.CopyFrom(_template(decision.plan))
    else:
        response = outline(decision.model, decision.price_version, decision.lines)
    response.reservation_id = decision.reservation_id
    response.store_away = decision.store_away
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
        response.result = RESULTS[decision.result]
        response.refusal.CopyFrom(write_refusal(decision.refusal))
        if decision.ticket is not None:
            response.ticket.CopyFrom(write_ticket(decision.ticket))
        if decision.advice is not None:
            response.refusal.advice.CopyFrom(write_advice(decision.advice))
        taken = NOTHING
    if decision.downgrade is not None:
        response.downgrade.CopyFrom(write_downgrade(decision.downgrade))
    values = iter(decision.values)
    for line, state in zip(decision.lines, response.budgets, strict=True):
        spent, held = next(values), next(values) + taken[line.slot]
        used = spent + held
        if used > MAX_AMOUNT:
            fill(state, BudgetState(line, spent, held))
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
        template = plan.remembered["response"] = outline(plan.model, version, plan.budgets)
    assert isinstance(template, pb.ReserveResponse)
    return template


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


def write_charged(charge_id: str, charged: Charged) -> pb.ChargeResponse:
    """What was charged, and what paid for it."""
    response = pb.ChargeResponse(
        charge_id=charge_id,
        charged=pb.Cost(nano_usd=charged.nano_usd, tokens=charged.tokens),
        drawn=write_draws(charged.drawn),
    )
    if charged.wallet:
        response.wallet, response.wallet_group, unit = parse_counter(charged.wallet)
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
        suspended=balance.suspended,
    )
