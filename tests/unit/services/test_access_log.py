"""Ends that Envoy tells of without what was decided: of calls whose decision it did not wait for."""

from collections.abc import AsyncIterator
from typing import Any

from envoy.config.core.v3.base_pb2 import Metadata
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsMessage
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf.any_pb2 import Any as AnyMessage

from tallystick.proxied.open_calls import OpenCalls
from tallystick.services.access_log import DECISION, END, PERIODIC, USAGE, AccessLogService
from tallystick.services.admission import Admission
from tallystick.services.ext_authz import AuthorizationService
from tests.servers import until
from tests.unit.proxied.counter import CHAT, POLICY, Counter, held_call
from tests.unit.services.test_ext_authz import check

TOKENS_USED = bytes((0x1A, 2, 8, 100, 0x22, 2, 8, 7, 0x48, 1))
"""Envoy's record: 100 in, 7 out, complete (`services/reading_usage.py` has its fields)."""
COST = 100 * 10_000 + 7 * 100_000


class Asked:
    """A gate that Envoy asks and tells, without Envoy."""

    def __init__(self) -> None:
        self.counter, self.open_calls = Counter(), OpenCalls()
        self.metrics = self.counter.office.metrics
        gate, admission = self.counter.gate, Admission(2, 2, self.metrics)
        self.authorization = AuthorizationService(gate, admission, self.metrics, self.open_calls)
        self.log = AccessLogService(gate, self.metrics, self.open_calls)

    async def check(self, request_id: str = "i") -> CheckResponse:
        request: CheckRequest = check()
        request.attributes.request.http.headers["x-request-id"] = request_id
        request.attributes.request.http.size = len(str(CHAT))
        request.attributes.metadata_context.filter_metadata.clear()
        context: Any = None  # a boundary that turns nobody away does not look at it
        answer: CheckResponse = await self.authorization.Check(request, context)
        assert answer.HasField("ok_response"), answer
        return answer

    async def tell(self, *entries: HTTPAccessLogEntry) -> None:
        async def messages() -> AsyncIterator[StreamAccessLogsMessage]:
            for entry in entries:
                message = StreamAccessLogsMessage()
                message.http_logs.log_entry.append(entry)
                yield message

        await self.log.StreamAccessLogs(messages(), None)
        await self.log.drain(5)

    def told(self, end: str) -> int:
        return self.metrics.proxied_end(end).value


def entry(
    details: str, request_id: str = "i", *, kind: int = END, code: int = 403, attempts: int = 0
) -> HTTPAccessLogEntry:
    made = HTTPAccessLogEntry()
    made.request.request_id = request_id
    made.common_properties.access_log_type = kind
    made.common_properties.upstream_request_attempt_count = attempts
    made.response.response_code_details, made.response.response_code.value = details, code
    return made


def decided(answer: CheckResponse, end: HTTPAccessLogEntry) -> HTTPAccessLogEntry:
    """The same with what was decided."""
    metadata = Metadata()
    metadata.filter_metadata[DECISION].CopyFrom(answer.dynamic_metadata)
    end.common_properties.metadata.CopyFrom(metadata)
    return end


async def test_a_call_that_envoy_turned_away_before_it_heard_the_verdict_holds_nothing() -> None:
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    await asked.check()
    assert asked.counter.office.held()
    await asked.tell(entry("ext_authz_error"))
    assert not asked.counter.office.held()
    assert (asked.told("RELEASED"), asked.told("UNHELD"), asked.counter.spent()) == (1, 0, 0)


async def test_one_that_was_sent_all_the_same_is_charged() -> None:
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    await asked.check()
    end = entry("via_upstream", code=200, attempts=1)
    end.common_properties.metadata.typed_filter_metadata[USAGE].CopyFrom(AnyMessage(value=TOKENS_USED))
    await asked.tell(end)
    assert not asked.counter.office.held()
    assert (asked.told("COMPLETED"), asked.counter.spent()) == (1, COST)


async def test_what_was_decided_counts_where_it_came_and_is_remembered_no_longer() -> None:
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    first, second = await asked.check("1"), await asked.check("2")
    assert len(asked.open_calls) == 2
    await asked.tell(decided(first, entry("via_upstream", "1", code=500, attempts=1)))
    await asked.tell(decided(second, entry("via_upstream", "2", code=500, attempts=1)))
    assert asked.told("PROVIDER_ERROR_UNBILLED") == 2
    assert not asked.open_calls
    assert not asked.counter.office.held()


async def test_a_report_in_mid_stream_ends_nothing() -> None:
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    answer = await asked.check()
    await asked.tell(decided(answer, entry("", kind=PERIODIC, code=200, attempts=1)))
    assert len(asked.open_calls) == 1
    assert asked.counter.office.held()


async def test_what_nobody_asked_for_is_counted_and_ends_nothing() -> None:
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    await asked.check()
    await asked.tell(entry("ext_authz_denied", "another"), entry("ext_authz_denied", ""))
    assert asked.told("UNHELD") == 2
    assert asked.counter.office.held()


async def test_a_call_that_was_refused_ends_none_that_was_let_through_with_its_id() -> None:
    """Where a listener takes request ids from clients, which it should not."""
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    await asked.check()
    await asked.tell(entry("ext_authz_denied"))
    assert (asked.told("RELEASED"), asked.told("UNHELD"), len(asked.open_calls)) == (0, 1, 1)
    assert asked.counter.office.held()


async def test_a_verdict_that_was_given_back_is_not_given_back_again() -> None:
    asked = Asked()
    await asked.counter.office.apply(POLICY)
    answer = await asked.check()
    asked.authorization.unheard(check(), answer)
    await until(lambda: not asked.counter.office.held())
    assert not asked.open_calls
    await asked.tell(entry("ext_authz_error"))
    assert (asked.told("RELEASED"), asked.told("UNHELD")) == (0, 1)


def test_the_latest_calls_are_remembered_and_none_without_an_id() -> None:
    calls = OpenCalls(most=2)
    for name in ("a", "b", "", "c"):
        calls.keep(name, held_call()._replace(reservation_id=name))
    assert len(calls) == 2
    assert calls.end("a") is None
    assert calls.end("") is None
    found = calls.end("c")
    assert found is not None
    assert found.reservation_id == "c"
    assert calls.end("c") is None
