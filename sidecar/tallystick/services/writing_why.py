"""From explanations to responses: advice, downgrades, and the steps of a dry run."""

from tallystick.core.decision import Advice, BudgetState, Downgrade
from tallystick.engine.explaining import Explanation, Step
from tallystick.services.writing_states import clamp, timestamp, write_budget, write_refusal, write_wallet
from tallystick.v1 import budget_pb2 as pb


def write_advice(advice: Advice) -> pb.Advice:
    """What to do instead."""
    message = pb.Advice(model=advice.model, max_output=advice.max_output, more=advice.more)
    if advice.at_ms:
        message.at.CopyFrom(timestamp(advice.at_ms))
    return message


def write_downgrade(downgrade: Downgrade) -> pb.Downgrade:
    """Why it is another model."""
    return pb.Downgrade(
        asked_model=downgrade.asked_model,
        reason=int(downgrade.reason),  # type: ignore[arg-type]
        budget=downgrade.budget,
        wallet=downgrade.wallet,
        message=downgrade.message,
    )


def write_explanation(explanation: Explanation) -> pb.ExplainResponse:
    """What a Reserve would be told, and why."""
    response = pb.ExplainResponse(
        result=pb.RESULT_DENY if explanation.refusal else pb.RESULT_ALLOW,
        model=explanation.model,
        cost=pb.Cost(nano_usd=explanation.nano_usd, tokens=explanation.tokens),
        steps=[_step(step) for step in explanation.steps],
        policy_version=explanation.policy_version,
    )
    if explanation.refusal:
        response.refusal.CopyFrom(write_refusal(explanation.refusal))
        if explanation.advice:
            response.refusal.advice.CopyFrom(write_advice(explanation.advice))
    if explanation.downgrade:
        response.downgrade.CopyFrom(write_downgrade(explanation.downgrade))
    return response


def _step(step: Step) -> pb.ExplainResponse.Step:
    message = pb.ExplainResponse.Step(
        model=step.model, takes=clamp(step.takes), fits=step.fits, binds=step.binds
    )
    if isinstance(step.state, BudgetState):
        message.budget.CopyFrom(write_budget(step.state))
    else:
        message.wallet.CopyFrom(write_wallet(step.state))
    return message
