"""Way ratelimit: a look before the call, and its tokens when it is done."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from envoy.service.ratelimit.v3 import rls_pb2

from tallystick.envoy import Way
from tests.e2e.caller import Caller
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.answers import CHAT, TOLD, Told
from tests.e2e.envoy.gateways import Gateway, running
from tests.e2e.envoy.provider import Script, ScriptedProvider
from tests.e2e.envoy.thread import LoopThread
from tests.servers import SidecarProcess, short_directory

CHAT_PATH = "/openai/v1/chat/completions"
ASK = {"model": "big", "messages": []}
Asked = tuple[dict[str, str], int | None]


@pytest.fixture
def limited(ratelimit: Gateway) -> Iterator[Gateway]:
    """The gateway, with nothing asked yet and every answer OK again."""
    answer = ratelimit.adapters.on_limit
    ratelimit.adapters.limited.clear()
    yield ratelimit
    ratelimit.adapters.on_limit = answer


def asked(request: rls_pb2.RateLimitRequest, domain: str = "tallystick/gateway") -> list[Asked]:
    """Each descriptor with its hits; None where they are not given."""
    assert request.domain == domain
    return [
        (
            {entry.key: entry.value for entry in descriptor.entries},
            descriptor.hits_addend.value if descriptor.HasField("hits_addend") else None,
        )
        for descriptor in request.descriptors
    ]


@pytest.mark.parametrize("told", TOLD, ids=lambda told: told.name)
def test_a_call_is_looked_at_before_and_charged_after(limited: Gateway, told: Told) -> None:
    script = limited.script(told.script)
    assert limited.call(script, told.path, ASK, authorization="Bearer consumer").body == told.script.body
    wait(lambda: len(limited.adapters.limited) == 2)
    before, after = map(asked, limited.adapters.limited)
    provider = told.path.split("/")[1]
    who = {"provider": provider, "model": "big", "authorization": "Bearer consumer"}
    assert before == [({**who, "unit": "requests"}, None), ({**who, "unit": "tokens"}, 0)]
    assert after == [({**who, "unit": "tokens"}, told.input + told.output)]


def test_embeddings_are_charged_what_the_provider_says(limited: Gateway) -> None:
    document = {"object": "list", "data": [], "model": "e", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    limited.call(limited.script(Script((json.dumps(document).encode(),))), "/openai/v1/embeddings", ASK)
    wait(lambda: len(limited.adapters.limited) == 2)
    assert asked(limited.adapters.limited[1])[0][1] == 8


def test_without_usage_nothing_is_charged(limited: Gateway) -> None:
    limited.call(limited.script(Script(status=500)), CHAT_PATH, ASK)
    wait(lambda: len(limited.adapters.limited) == 2)
    assert asked(limited.adapters.limited[1]) == [
        ({"provider": "openai", "model": "big", "unit": "tokens"}, 0)
    ]
    assert "Invalid hits_addend" not in limited.envoy.log


def test_a_refusal_has_the_headers_of_limits(limited: Gateway) -> None:
    def refuse(_: Any) -> rls_pb2.RateLimitResponse:
        limit = rls_pb2.RateLimitResponse.RateLimit(requests_per_unit=5, unit=2)
        status = rls_pb2.RateLimitResponse.DescriptorStatus(code=2, current_limit=limit)
        status.duration_until_reset.seconds = 7
        return rls_pb2.RateLimitResponse(overall_code=2, statuses=[status], raw_body=b'{"error": {}}')

    limited.adapters.on_limit = refuse
    script = limited.script(Script((json.dumps(CHAT).encode(),)))
    answer = limited.call(script, CHAT_PATH, ASK)
    assert (answer.status, answer.json) == (429, {"error": {}})
    assert answer.headers["x-ratelimit-limit"] == "5, 5;w=60"
    assert (answer.headers["x-ratelimit-remaining"], answer.headers["x-ratelimit-reset"]) == ("0", "7")
    assert not limited.provider.of(script)
    wait(lambda: len(limited.adapters.limited) == 2)  # the stream of a refused call is done too
    assert asked(limited.adapters.limited[1])[0][1] == 0


def test_a_provider_gets_its_own_key(limited: Gateway) -> None:
    script = limited.script()
    limited.call(script, CHAT_PATH, ASK, authorization="Bearer consumer")
    assert limited.seen(script).headers["authorization"] == "Bearer key-of-openai"
    wait(lambda: len(limited.adapters.limited) == 2)


@pytest.mark.parametrize(("fail_open", "status"), [(False, 503), (True, 200)])
def test_without_the_sidecar_calls_are_refused_or_let_through(
    scripted: ScriptedProvider, loop_thread: LoopThread, fail_open: bool, status: int
) -> None:
    with running(Way.RATELIMIT, scripted, loop_thread, fail_open=fail_open) as gateway:
        loop_thread.run(gateway.adapters.stop())
        script = gateway.script()
        assert gateway.call(script, CHAT_PATH, ASK).status == status
        assert len(gateway.provider.of(script)) == fail_open


@pytest.mark.parametrize("by_setting", [False, True])
def test_a_real_sidecar_charges_the_tenant_that_was_chosen(
    scripted: ScriptedProvider, loop_thread: LoopThread, by_setting: bool
) -> None:
    settings = {"RATE_LIMIT_TENANT": "acme" if by_setting else ""}
    tenant = "" if by_setting else "acme"
    with short_directory() as directory:
        sidecar = SidecarProcess(directory, ENVOY="true", **settings)
        sidecar.start()
        try:
            with (
                Caller(sidecar, tenant="acme") as caller,
                running(Way.RATELIMIT, scripted, loop_thread, sidecar=sidecar, tenant=tenant) as gateway,
            ):
                caller.apply("budgets: {tokens: {limit: 1000 tokens, window: total}}\n")
                script = gateway.script(Script((json.dumps(CHAT).encode(),)))
                assert gateway.call(script, CHAT_PATH, ASK).status == 200
                wait(lambda: int(caller.budget("tokens").spent) == 120)
        finally:
            sidecar.stop()


def test_the_tenant_is_the_domain(scripted: ScriptedProvider, loop_thread: LoopThread) -> None:
    with running(Way.RATELIMIT, scripted, loop_thread, tenant="acme") as gateway:
        assert gateway.call(gateway.script(), CHAT_PATH, ASK).status == 200
        wait(lambda: len(gateway.adapters.limited) == 2)
        assert asked(gateway.adapters.limited[0], "acme")
