"""From budgets, wallets and refusals to messages."""

from collections import Counter
from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.core.counters import rolling_ms
from tallystick.core.decision import BudgetState, Refusal, WalletState
from tallystick.core.lots import Lot, LotKind
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.plan import BudgetLine
from tallystick.core.policy import Unit
from tallystick.core.reasons import Reason
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


def outline(model: str, price_version: str, lines: Sequence[BudgetLine]) -> pb.ReserveResponse:
    """What all answers have in common that meet these budgets."""
    response = pb.ReserveResponse(model=model, price_version=price_version)
    for line in lines:
        state = response.budgets.add(
            name=line.name,
            group=line.group,
            unit=UNITS[line.unit],
            limit=line.limit,
            ceiling=clamp(line.ceiling),
            enforced=line.rank is not Reason.NONE,
        )
        if line.end_ms:
            state.window_start.CopyFrom(timestamp(line.start_ms))
            state.window_end.CopyFrom(timestamp(line.end_ms))
        elif rolls := rolling_ms(line.end):
            state.rolling.CopyFrom(duration(rolls[0]))
    return response


def fill(message: pb.BudgetState, state: BudgetState) -> None:
    """Adds what changes with every call."""
    message.spent, message.held = clamp(state.spent), clamp(state.held)
    message.remaining = clamp(state.remaining)
    message.threshold_percent = state.threshold_percent


def write_budget(state: BudgetState) -> pb.BudgetState:
    """A budget as it stands."""
    message = outline("", "", (state.line,)).budgets[0]
    fill(message, state)
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


def write_wallet_lots(state: WalletState) -> pb.WalletState:
    """A wallet's counters, and its lots in the order in which they are drawn."""
    message = write_wallet(state)
    for lot in state.lots:
        written = message.lots.add(id=lot.id, kind=LOT_KINDS[lot.kind], remaining=clamp(lot.amount))
        if lot.expires_ms:
            written.expires_at.CopyFrom(timestamp(lot.expires_ms))
    return message


def write_draws(drawn: Sequence[Lot]) -> list[pb.Draw]:
    """What was drawn from each lot, in the order of the first draw."""
    if len(drawn) == 1:
        lot = drawn[0]
        return [pb.Draw(lot=lot.id, kind=LOT_KINDS[lot.kind], amount=clamp(lot.amount))]
    amounts: Counter[tuple[str, LotKind]] = Counter()
    for lot in drawn:
        amounts[lot.id, lot.kind] += lot.amount
    return [
        pb.Draw(lot=lot_id, kind=LOT_KINDS[kind], amount=clamp(n)) for (lot_id, kind), n in amounts.items()
    ]


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
