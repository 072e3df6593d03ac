"""A real Envoy whose rate limit filter asks the sidecar: both transports."""

import time
from typing import Any

import pytest

from tests.e2e.books import books_of
from tests.e2e.caller import Caller
from tests.e2e.conftest import Start
from tests.e2e.rate_limiting import envoy_before

USER = {"request_headers": {"header_name": "x-user", "descriptor_key": "user"}}
CALLS: dict[str, Any] = {"actions": [USER]}
"""One request at the start of each call."""
METERED: dict[str, Any] = {
    "actions": [USER, {"generic_key": {"descriptor_key": "unit", "descriptor_value": "tokens"}}],
    "hits_addend": {"format": "%DYNAMIC_METADATA(usage:tokens)%"},
    "apply_on_stream_done": True,
}
"""The tokens of each answer at its end."""
REPORTED = METERED | {
    "actions": [
        *METERED["actions"],
        {"generic_key": {"descriptor_key": "report", "descriptor_value": "true"}},
    ]
}
PEEK: dict[str, Any] = {"actions": [USER], "hits_addend": {"number": 0}}
RULES = (
    "budgets:\n  calls: {per: [user], limit: 5 requests, window: day}\n"
    "  tokens: {per: [user], limit: 1000 tokens, window: day}\n"
)


@pytest.fixture(params=["native", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def spent(caller: Caller, name: str, least: int) -> int:
    """Envoy waits for no answer to what it tells at the end of a call."""
    deadline = time.monotonic() + 5
    while (found := int(caller.budget(name).spent)) < least and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@pytest.mark.contract(14)
def test_five_pass_and_the_sixth_is_told_when_to_come_back_whatever_restarts(
    start: Start, transport: str
) -> None:
    sidecar = start(TRANSPORT=transport, ENVOY="true")
    with (
        Caller(sidecar, tenant="acme") as caller,
        envoy_before(sidecar.directory / "tallystick.sock", "acme", [CALLS]) as envoy,
    ):
        caller.apply(RULES)
        for left in (4, 3, 2, 1, 0):
            status, headers, body = envoy.get(x_user="alice")
            assert (status, body) == (200, "{}")
            assert headers["x-ratelimit-limit"] == '5, 5;w=86400;name="calls"'
            assert headers["x-ratelimit-remaining"] == str(left)
        for _ in range(2):
            status, headers, body = envoy.get(x_user="alice")
            assert (status, headers["x-ratelimit-remaining"]) == (429, "0")
            assert headers["retry-after"] == headers["x-ratelimit-reset"]
            assert body.startswith("BUDGET_EXHAUSTED: budget calls (user=alice) of 5 requests is used up")
            sidecar.kill()
            sidecar.start()
        assert envoy.get(x_user="bob")[0] == 200
        sidecar.stop()
        assert envoy.get(x_user="bob")[0] == 500  # failure_mode_deny


@pytest.mark.contract(5)
@pytest.mark.parametrize("limits", [[CALLS, REPORTED], [CALLS, METERED], [PEEK, METERED]])
def test_what_answers_took_is_charged_at_their_end(start: Start, transport: str, limits: list[Any]) -> None:
    sidecar = start(TRANSPORT=transport, ENVOY="true")
    with (
        Caller(sidecar, tenant="acme") as caller,
        books_of(sidecar) as books,
        envoy_before(sidecar.directory / "tallystick.sock", "acme", limits) as envoy,
    ):
        caller.apply(RULES)
        total = 0
        for tokens in (300, 699, 500):
            assert envoy.get(x_user="alice", x_tokens=str(tokens))[0] == 200
            total += tokens
            assert spent(caller, "tokens", total) == total
        assert envoy.get(x_user="alice", x_tokens="7")[0] == 429
        assert envoy.get(x_user="bob", x_tokens="7")[0] == 200
        time.sleep(0.5)
        assert spent(caller, "tokens", total) == total  # a call that was refused took nothing
        assert caller.budget("calls").spent == (0 if PEEK in limits else 3)
        books.check()


def test_as_envoy_gateway_configures_it(start: Start, transport: str) -> None:
    """No entry of ours, a path as the domain: the settings say the rest."""
    user = {"request_headers": {"header_name": "x-user", "descriptor_key": "rule-0-match-0"}}
    rule = "httproute/default/llm/rule/0/match/0/llm_example_com"
    actions = [{"generic_key": {"descriptor_key": rule, "descriptor_value": rule}}, user]
    limits = [PEEK | {"actions": actions}, METERED | {"actions": actions}]
    sidecar = start(TRANSPORT=transport, ENVOY="true", RATE_LIMIT_TENANT="acme", RATE_LIMIT_UNIT="tokens")
    with (
        Caller(sidecar, tenant="acme") as caller,
        envoy_before(sidecar.directory / "tallystick.sock", "default/gateway/http", limits) as envoy,
    ):
        caller.apply("budgets: {tokens: {per: [label.rule-0-match-0], limit: 1000 tokens, window: hour}}\n")
        for tokens in (400, 700):
            assert envoy.get(x_user="alice", x_tokens=str(tokens))[0] == 200
        deadline = time.monotonic() + 5
        while envoy.get(x_user="alice", x_tokens="0")[0] != 429:
            assert time.monotonic() < deadline
        (listed,) = caller.list_budgets().budgets
        assert listed.state.spent == 1_100
        assert envoy.get(x_user="bob", x_tokens="7")[0] == 200


def test_envoys_own_headers_say_the_same_beside_ours(start: Start, transport: str) -> None:
    """So they are to be left off; that they agree shows that the statuses are right."""
    sidecar = start(TRANSPORT=transport, ENVOY="true")
    socket, own = sidecar.directory / "tallystick.sock", {"enable_x_ratelimit_headers": "DRAFT_VERSION_03"}
    with Caller(sidecar, tenant="acme") as caller, envoy_before(socket, "acme", [CALLS], **own) as envoy:
        caller.apply(RULES)
        _, headers, _ = envoy.get(x_user="alice")
        ours, envoys = headers["x-ratelimit-limit"].split(" | ")
        assert ours == envoys == '5, 5;w=86400;name="calls"'
        assert headers["x-ratelimit-remaining"] == "4 | 4"
        ours, envoys = headers["x-ratelimit-reset"].split(" | ")
        assert abs(int(ours) - int(envoys)) <= 1
