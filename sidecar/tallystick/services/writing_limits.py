"""From what became of descriptors to Envoy's answer, and its headers."""

from collections.abc import Sequence

from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse

from tallystick.core.counters import rolling_ms
from tallystick.core.decision import BudgetState
from tallystick.engine.limiting import Limited
from tallystick.services.writing_states import duration

OK, OVER_LIMIT = RateLimitResponse.OK, RateLimitResponse.OVER_LIMIT
MOST_UINT32 = 2**32 - 1
WINDOWS = (
    (1, 1, RateLimitResponse.RateLimit.SECOND),
    (60, 60, RateLimitResponse.RateLimit.MINUTE),
    (3_600, 3_600, RateLimitResponse.RateLimit.HOUR),
    (23 * 3_600, 25 * 3_600, RateLimitResponse.RateLimit.DAY),
    (167 * 3_600, 169 * 3_600, RateLimitResponse.RateLimit.WEEK),
    (27 * 86_400, 32 * 86_400, RateLimitResponse.RateLimit.MONTH),
    (364 * 86_400, 367 * 86_400, RateLimitResponse.RateLimit.YEAR),
)
"""Shortest and longest in seconds (clocks are put forward and back), and what Envoy calls it."""


def write_limits(found: Sequence[Limited]) -> RateLimitResponse:
    """OVER_LIMIT where any descriptor is; the headers tell of the strictest of them."""
    response = RateLimitResponse(overall_code=OK)
    binding = [_binding(each) for each in found]
    for each, state in zip(found, binding, strict=True):
        _fill(response.statuses.add(code=OVER_LIMIT if each.refusal else OK), each, state)
    strictest = min(range(len(found)), key=lambda i: _rank(found[i], binding[i]))
    headers = _quota(found[strictest], binding[strictest], binding)
    refusal = found[strictest].refusal
    if refusal:
        response.overall_code = OVER_LIMIT
        response.raw_body = f"{refusal.reason.name}: {refusal.message}\n".encode()
        if refusal.retry_after_ms is not None:
            headers["retry-after"] = str(_seconds(refusal.retry_after_ms))
    for name, value in headers.items():
        response.response_headers_to_add.add(key=name, value=value)
    return response


def _binding(limited: Limited) -> BudgetState | None:
    """The budget that refuses; else the one that has room for the fewest such calls."""
    refusal = limited.refusal
    if refusal and refusal.wallet:
        return None
    if refusal and refusal.budget:
        named = (refusal.budget, refusal.group)
        return next(state for state in limited.budgets if (state.line.name, state.line.group) == named)
    states = [state for state in limited.budgets if state.line.rank and limited.needs[state.line.slot]]
    return min(states, key=lambda state: _room(state) // limited.needs[state.line.slot], default=None)


def _rank(limited: Limited, state: BudgetState | None) -> tuple[int, int]:
    """Refusals first, by their order; then what has the least room."""
    if limited.refusal:
        return 0, limited.refusal.reason
    return 1, _room(state) // limited.needs[state.line.slot] if state else MOST_UINT32


def _room(state: BudgetState) -> int:
    return max(0, state.line.ceiling - state.spent - state.held)


def _fill(status: RateLimitResponse.DescriptorStatus, limited: Limited, state: BudgetState | None) -> None:
    """Envoy's numbers have 32 bits; larger ones are told as the largest."""
    if state is None:
        return
    status.current_limit.name = state.line.name
    status.current_limit.requests_per_unit = min(state.line.ceiling, MOST_UINT32)
    window_s = _window_s(state)
    for shortest, longest, unit in WINDOWS:
        if shortest <= window_s <= longest:
            status.current_limit.unit = unit
    status.limit_remaining = min(_room(state), MOST_UINT32)
    if reset_ms := _reset_ms(limited, state):
        status.duration_until_reset.CopyFrom(duration(reset_ms))


def _quota(
    limited: Limited, state: BudgetState | None, all_states: Sequence[BudgetState | None]
) -> dict[str, str]:
    """The headers of draft-polli-ratelimit-headers-03, as Envoy itself writes them."""
    if state is None:
        return {}
    policies = [_policy(each) for each in dict.fromkeys(all_states) if each is not None]
    headers = {
        "x-ratelimit-limit": ", ".join([str(state.line.ceiling), *dict.fromkeys(policies)]),
        "x-ratelimit-remaining": str(_room(state)),
    }
    if reset_ms := _reset_ms(limited, state):
        headers["x-ratelimit-reset"] = str(_seconds(reset_ms))
    return headers


def _policy(state: BudgetState) -> str:
    window_s = _window_s(state)
    window = f";w={window_s}" if window_s else ""
    return f'{state.line.ceiling}{window};name="{state.line.name}"'


def _window_s(state: BudgetState) -> int:
    """How long the window is; 0 for `total` and `session`."""
    rolls = rolling_ms(state.line.end)
    return (rolls[0] if rolls else state.line.end_ms - state.line.start_ms) // 1000


def _reset_ms(limited: Limited, state: BudgetState) -> int:
    """When the window ends, or all has left a rolling one; where that is told, when there is room."""
    if limited.refusal and limited.refusal.retry_after_ms is not None:
        return limited.refusal.retry_after_ms
    if rolls := rolling_ms(state.line.end):
        return sum(rolls)
    return max(1, state.line.end_ms - limited.now_ms) if state.line.end_ms else 0


def _seconds(ms: int) -> int:
    return -(-ms // 1000)
