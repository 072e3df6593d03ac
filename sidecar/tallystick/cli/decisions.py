"""Decisions for people: what was decided, why, and what to do next."""

from tallystick.cli.output import length_text, show, time_text
from tallystick.cli.tables import amount_of, budget_table, cost_text, make_card, named, step_table
from tallystick.v1 import budget_pb2 as pb

ALLOW_STYLE, DENY_STYLE = "green", "red"


def show_decision(decision: pb.ReserveResponse) -> None:
    """Print the answer to a Reserve."""
    if decision.result == pb.RESULT_ALLOW:
        rows = [
            ("reservation", decision.reservation_id),
            ("model", decision.model),
            ("instead of", decision.downgrade.asked_model),
            ("because", decision.downgrade.message),
            ("held", cost_text(decision.cost)),
            ("paid by", named(decision.wallet, decision.wallet_group)),
            ("price", decision.price_version),
            ("expires", time_text(decision.expires_at)),
        ]
        show(make_card("ALLOW", ALLOW_STYLE, [row for row in rows if row[1]]))
    else:
        rows = [("model", decision.model), ("would hold", cost_text(decision.cost))]
        result = "DENY"
        if decision.result == pb.RESULT_HOLD:
            result = "HOLD"
            rows.append(
                ("ticket", f"{decision.ticket.id}, open until {time_text(decision.ticket.expires_at)}")
            )
        show_refusal(decision.refusal, [row for row in rows if row[1]], result)
    if decision.budgets:
        show("", budget_table(decision.budgets))


def show_explanation(told: pb.ExplainResponse) -> None:
    """Print the answer to an Explain: the decision, and every step to it."""
    if told.result == pb.RESULT_ALLOW:
        rows = [
            ("model", told.model),
            ("instead of", told.downgrade.asked_model),
            ("because", told.downgrade.message),
            ("would hold", cost_text(told.cost)),
        ]
        show(make_card("ALLOW", ALLOW_STYLE, [row for row in rows if row[1]]))
    else:
        rows = [("model", told.model), ("would hold", cost_text(told.cost))]
        show_refusal(told.refusal, [row for row in rows if row[1]])
    if told.steps:
        show("", step_table(told.steps))
    else:
        show("No wallet and no budget was looked at.")


def show_extension(answer: pb.ExtendResponse) -> None:
    """Print the answer to an Extend."""
    rows = [("reservation", answer.reservation_id), ("held", cost_text(answer.cost))]
    if answer.result == pb.RESULT_ALLOW:
        rows.append(("expires", time_text(answer.expires_at)))
        show(make_card("ALLOW", ALLOW_STYLE, rows))
    else:
        show_refusal(answer.refusal, rows)


def show_refusal(refusal: pb.Refusal, more: list[tuple[str, str]], result: str = "DENY") -> None:
    """Print why not, and whether and when it is worth trying again."""
    reason = pb.Reason.Name(refusal.reason).removeprefix("REASON_")
    rows = [("why", refusal.message)]
    if refusal.budget:
        rows.append(("binds", f"budget {named(refusal.budget, refusal.group)}"))
    elif refusal.wallet:
        rows.append(("binds", f"wallet {named(refusal.wallet, refusal.group)}"))
    if refusal.unit:
        rows.append(("short of", amount_of(refusal.shortfall, refusal.unit)))
    rows.append(("retry", retry_text(refusal)))
    rows += advice_rows(refusal.advice)
    show(make_card(f"{result} {reason}", DENY_STYLE, rows + more))


def advice_rows(advice: pb.Advice) -> list[tuple[str, str]]:
    """Say what would be allowed instead."""
    rows = []
    if advice.model:
        rows.append(("or use", f"model {advice.model}"))
    if advice.max_output:
        rows.append(("or ask for", f"at most {advice.max_output} tokens of output"))
    if advice.HasField("at"):
        rows.append(("or wait", f"until {time_text(advice.at)}"))
    if advice.more:
        rows.append(("or", advice.more))
    return rows


def retry_text(refusal: pb.Refusal) -> str:
    """Say when a retry can succeed."""
    if not refusal.retryable:
        return "waiting does not help"
    return f"after {length_text(refusal.retry_after)}"
