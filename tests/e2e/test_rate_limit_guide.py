"""The guide's Envoy and policy do what it says."""

from pathlib import Path
from typing import Any

import yaml

from tests.e2e.caller import Caller
from tests.e2e.conftest import Start
from tests.e2e.rate_limiting import envoy_running, provider
from tests.e2e.test_rate_limits_through_envoy import spent
from tests.servers import free_port

GUIDES = Path(__file__).parents[2] / "docs/guides"
PAGE = (GUIDES / "rate-limit-service.md").read_text()


def configuration(grpc_port: int, upstream: int, port: int) -> Any:
    """The guide's file, with other ports."""
    text = (GUIDES / "envoy/rate-limit.yaml").read_text()
    for written, free in (("50061", grpc_port), ("8080", upstream), ("10000", port)):
        assert text.count(written) == 1
        text = text.replace(written, str(free))
    return yaml.safe_load(text)


def test_the_guides_envoy_checks_before_a_call_and_reports_after_it(start: Start) -> None:
    sidecar = start(ENVOY="true", LISTEN="127.0.0.1:0", POLICY_FILES=str(GUIDES / "rate-limit.yaml"))
    port = free_port()
    with (
        Caller(sidecar, tenant="acme") as caller,
        provider() as upstream,
        envoy_running(configuration(sidecar.port, upstream, port), port) as envoy,
    ):
        assert envoy.get(x_user="alice", x_tokens="999999")[0] == 200
        assert spent(caller, "tokens", 999_999) == 999_999
        assert caller.budget("calls").spent == 1
        assert envoy.get(x_user="alice", x_tokens="500")[0] == 200
        assert spent(caller, "tokens", 1_000_499) == 1_000_499
        status, headers, body = envoy.get(x_user="alice")
        assert (status, "retry-after" in headers) == (429, True)
        assert body.startswith("BUDGET_EXHAUSTED: budget tokens (user=alice)")


def test_the_page_quotes_its_files() -> None:
    policy = (GUIDES / "rate-limit.yaml").read_text().partition("\n")[2]
    assert policy in PAGE
    filters = configuration(1, 2, 3)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    (route,) = filters[0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    limits = route["typed_per_filter_config"]["envoy.filters.http.ratelimit"]["rate_limits"]
    quoted = PAGE.partition("```yaml\nrate_limits:")[2].partition("```")[0]
    assert yaml.safe_load("rate_limits:" + quoted)["rate_limits"] == limits
