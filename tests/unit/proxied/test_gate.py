"""What a proxied call is told, case by case, on the store in memory."""

import asyncio
import dataclasses
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.core.consumer_keys import hash_key, make_key
from tallystick.core.errors import StoreUnavailable
from tallystick.core.policy import Unit
from tallystick.engine.calls import AnswerCall
from tallystick.proxied.calls import Allowed, Ending, Passed, Turned
from tallystick.store.ticket_asks import AnswerKind
from tests.servers import until
from tests.unit.proxied.counter import CHAT, CHAT_PATH, KEY, POLICY, Counter

STREAM = {**CHAT, "stream": True}
ASKED = {"include_usage": True}
LADDER = f"downgrade: [{', '.join(f'{{model: {x}, to: [small]}}' for x in ('big', 'gemini-x', 'm.x'))}]\n"
GEMINI = {"contents": [{"parts": [{"text": "hello"}]}], "generationConfig": {"maxOutputTokens": 1_000}}
CONVERSE = {
    "messages": [{"role": "user", "content": [{"text": "hi"}]}],
    "inferenceConfig": {"maxTokens": 1_000},
}


@pytest.fixture
async def counter() -> Counter:
    counter = Counter()
    await counter.office.apply(POLICY)
    return counter


async def tight(counter: Counter) -> None:
    """Room for the small models only."""
    await counter.office.apply(POLICY.replace("limit: 1 USD", "limit: 0.05 USD") + LADDER)


async def test_an_allowed_call_is_held_at_its_estimate(counter: Counter) -> None:
    verdict = await counter.allowed()
    assert counter.office.held() == 1_000 * 100_000 + verdict.call.held.total_input * 10_000
    assert (verdict.patch, verdict.path, verdict.remove_headers) == ({}, "", ("authorization",))
    assert verdict.headers == (("x-tallystick-reservation", "e-id-1"),)
    assert (verdict.call.tenant, verdict.call.model, verdict.call.held.output) == ("acme", "big", 1_000)


async def test_the_same_request_id_is_the_same_call(counter: Counter) -> None:
    request = counter.request()
    first, again = await counter.gate.admit(request), await counter.gate.admit(request)
    assert first == again
    assert counter.office.held() == 100_080_000
    other = dataclasses.replace(request, path="/v1/chat/completions?x=1")
    refused = await counter.gate.admit(other)
    assert isinstance(refused, Turned)
    assert refused.status == 409


PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "no stream": (CHAT, {}, {}),
    "stream false": ({**CHAT, "stream": False}, {}, {}),
    "stream": (STREAM, {}, {"stream_options": ASKED}),
    "it asks": ({**STREAM, "stream_options": ASKED}, {}, {}),
    "it asks not to": ({**STREAM, "stream_options": {"include_usage": False}}, {}, {"stream_options": ASKED}),
    "null": ({**STREAM, "stream_options": None}, {}, {"stream_options": ASKED}),
    "other options": (
        {**STREAM, "stream_options": {"include_obfuscation": False}},
        {},
        {"stream_options": {"include_obfuscation": False, "include_usage": True}},
    ),
    "compatible": (STREAM, {"kind": "compatible"}, {"stream_options": ASKED}),
    "refuses options": (STREAM, {"kind": "compatible", "provider": "old"}, {}),
}


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize(("body", "fields", "patch"), PATCHES.values(), ids=PATCHES.keys())
async def test_streams_are_asked_for_their_usage(
    counter: Counter, body: dict[str, Any], fields: dict[str, Any], patch: dict[str, Any], read: bool
) -> None:
    """Whether the proxy has read the body or not."""
    await counter.office.apply(POLICY + "routes: {without_usage: [old]}\n")
    options = body.get("stream_options") or {}
    seen: dict[str, Any] = {name: body[name] for name in ("stream", "model", "max_tokens") if name in body}
    seen |= {f"stream_options.{name}": value for name, value in options.items() if name == "include_usage"}
    verdict = await counter.allowed(body, read=seen if read else {}, **fields)
    assert verdict.patch == patch


async def test_a_cheaper_model_is_put_into_the_body(counter: Counter) -> None:
    await tight(counter)
    verdict = await counter.allowed(STREAM)
    assert verdict.patch == {"stream_options": ASKED, "model": "small"}
    assert verdict.headers[1:] == (("x-tallystick-model", "small"),)
    assert verdict.call.model == "small"


PATHS = {
    "gemini": (
        "/v1beta/models/gemini-x:generateContent",
        GEMINI,
        "/mine/v1beta/models/small:generateContent",
    ),
    "gemini-sse": (
        "/v1beta/models/gemini-x:streamGenerateContent?alt=sse",
        GEMINI,
        "/mine/v1beta/models/small:streamGenerateContent?alt=sse",
    ),
    "bedrock": ("/model/m.x/converse", CONVERSE, "/mine/model/small/converse"),
    "encoded": ("/model/m%2Ex/converse-stream", CONVERSE, "/mine/model/small/converse-stream"),
    "azure": (
        "/openai/deployments/big/chat/completions?api-version=1",
        CHAT,
        "/mine/openai/deployments/small/chat/completions?api-version=1",
    ),
}


@pytest.mark.parametrize(("path", "body", "expected"), PATHS.values(), ids=PATHS.keys())
async def test_a_cheaper_model_is_put_into_a_path_that_names_one(
    counter: Counter, path: str, body: dict[str, Any], expected: str
) -> None:
    await tight(counter)
    kind = {"/v": "gemini", "/m": "bedrock", "/o": "azure"}[path[:2]]
    verdict = await counter.allowed(body, path, kind=kind)
    assert (verdict.path, verdict.patch) == (expected, {})


UNREPLACEABLE = {
    "lone surrogate": json.dumps({**CHAT, "user": "\ud800"}).encode(),
    "no double": json.dumps({**CHAT, "top_p": 1}).replace('"top_p": 1', '"top_p": 1e999').encode(),
    "long integer": json.dumps({**CHAT, "seed": 10**400}).encode(),
    "deep": json.dumps({**CHAT, "metadata": json.loads("[" * 99 + "]" * 99)}).encode(),
}


@pytest.mark.parametrize("body", UNREPLACEABLE.values(), ids=UNREPLACEABLE.keys())
async def test_where_a_model_cannot_be_replaced_the_call_is_refused(counter: Counter, body: bytes) -> None:
    fits = await counter.allowed(body)
    await counter.office.engine.release("acme", fits.call.reservation_id)
    await tight(counter)
    turned = await counter.turned(body)
    assert turned.reason == "CAN_NEVER_FIT"
    assert b"can't be replaced" in turned.body
    assert not counter.office.held()


CUT = b'{"messages": [{"role": "user", "content": "' + b"word " * 2_000


@pytest.mark.parametrize("times", [2, 10, 37])
async def test_a_body_that_was_cut_is_held_at_its_whole_size(counter: Counter, times: int) -> None:
    await counter.office.apply(POLICY.replace("limit: 1 USD", "limit: 1000 USD"))
    read = {"model": "big", "max_completion_tokens": 7.0, "n": 2.0, "stream": True}
    whole = await counter.allowed(
        {**CHAT, "messages": [{"role": "user", "content": "word " * 2_000 * times}]}
    )
    cut = await counter.allowed(CUT, body_bytes=len(CUT) * times, read=read)
    assert cut.call.held.output == 14
    assert cut.patch == {"stream_options": ASKED}
    counted = whole.call.held.total_input
    assert counted <= cut.call.held.total_input <= counted * 1.05


async def test_a_body_that_was_cut_has_its_model_not_replaced(counter: Counter) -> None:
    await tight(counter)
    read = {"model": "big", "max_tokens": 1_000.0}
    turned = await counter.turned(CUT, body_bytes=len(CUT) + 1, read=read)
    assert b"too long to have its model replaced" in turned.body
    assert not counter.office.held()


async def test_images_in_a_body_that_was_cut_are_no_text(counter: Counter) -> None:
    body = b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": '
    body += b'"data:image/png;base64,' + b"iVBORw0KGgo" * 2_000
    verdict = await counter.allowed(body, body_bytes=len(body) * 2, read={"model": "big", "max_tokens": 1.0})
    assert 4_800 * 2 < verdict.call.held.total_input < 11_000


WRONG: dict[str, tuple[Any, dict[str, Any], int, str]] = {
    "no json": (b"hello", {}, 400, "JSON in UTF-8"),
    "a key twice": (b'{"model": "small", "model": "big", "messages": []}', {}, 400, "no key twice"),
    "no object": (b"[]", {}, 400, "an object"),
    "no model": ({"messages": []}, {}, 400, "model"),
    "limit of another type": ({**CHAT, "max_tokens": "7"}, {}, 400, "max_tokens"),
    "compressed": (CHAT, {"headers": {"content-encoding": "gzip"}}, 400, "not compressed"),
    "another type": (CHAT, {"headers": {"content-type": "text/plain"}}, 400, "application/json"),
    "cut, no model": (CUT, {"body_bytes": 1 << 20}, 400, "model"),
    "cut, a limit that is none": (
        CUT, {"body_bytes": 1 << 20, "read": {"model": "big", "max_tokens": 1.5}}, 400, "max_tokens"
    ),
    "no price": ({**CHAT, "model": "nobody-has-it"}, {}, 403, "no price"),
    "no key": (CHAT, {"headers": {"authorization": ""}}, 401, "expected"),
    "another key": (CHAT, {"headers": {"authorization": f"Bearer {make_key('acme')}"}}, 401, "not known"),
    "too dear": ({**CHAT, "max_tokens": 1_000_000}, {}, 413, "an answer of at most"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "fields", "status", "words"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_told_and_nothing_is_held(
    counter: Counter, body: Any, fields: dict[str, Any], status: int, words: str
) -> None:
    turned = await counter.turned(body, **fields)
    assert turned.status == status
    message = json.loads(turned.body)["error"]["message"]
    assert words in message
    assert KEY[-16:] not in message
    assert ("x-should-retry", "false") in turned.headers
    assert not counter.office.held()
    metrics = counter.office.metrics
    assert metrics.proxied_call("turned", turned.reason).value == 1


SHAPES = {
    "anthropic": ("/v1/messages", "type", "error"),
    "gemini": ("/v1beta/models/gemini-x:generateContent", "error", None),
    "bedrock": ("/model/m.x/converse", "message", None),
    "openai": (CHAT_PATH, "error", None),
}


@pytest.mark.parametrize("kind", SHAPES)
async def test_refusals_are_in_the_providers_words(counter: Counter, kind: str) -> None:
    path, name, value = SHAPES[kind]
    for fields in ({"headers": {"authorization": "Bearer x"}}, {"path": "/v1/files", "method": "GET"}):
        turned = await counter.turned(**{"path": path, "kind": kind} | fields)
        assert turned.status in {401, 403}
        body = json.loads(turned.body)
        assert name in body
        assert value is None or body[name] == value


async def test_free_routes_pass_for_those_who_may_call(counter: Counter) -> None:
    verdict = await counter.gate.admit(counter.request(b"", "/v1/models", method="GET"))
    assert verdict == Passed("free", ("authorization",))
    turned = await counter.turned(b"", "/v1/models", method="GET", headers={"authorization": ""})
    assert turned.status == 401
    assert not counter.office.store.asked["reserve"]


async def test_unmetered_routes_are_refused_or_let_through_and_counted(counter: Counter) -> None:
    turned = await counter.turned(b"", "/v1/files", method="GET")
    assert (turned.status, turned.reason) == (403, "UNMETERED_ROUTE")
    await counter.office.apply(POLICY + 'routes: {unmetered: ["/v1/files*"]}\n')
    verdict = await counter.gate.admit(counter.request(b"", "/v1/files", method="GET"))
    assert isinstance(verdict, Passed)
    assert verdict.why == "unmetered"
    assert (await counter.turned(b"", "/v1/batches", method="GET")).status == 403
    assert counter.office.metrics.proxied_call("turned", "UNMETERED_ROUTE").value == 2
    assert counter.office.metrics.proxied_call("passed", "unmetered").value == 1


async def test_a_key_in_the_query_is_taken_out_of_the_path(counter: Counter) -> None:
    path = f"/v1beta/models/gemini-x:generateContent?alt=json&key={KEY}"
    verdict = await counter.allowed(GEMINI, path, kind="gemini", headers={"authorization": ""})
    assert verdict.path == "/mine/v1beta/models/gemini-x:generateContent?alt=json"
    assert verdict.remove_headers == ()


async def test_a_store_that_is_away_is_told_as_such(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(counter.office.store, "reserve", away)
    turned = await counter.turned()
    assert (turned.status, turned.reason) == (503, "STORE_UNAVAILABLE")
    assert dict(turned.headers)["retry-after"] == "1"


async def test_who_calls_is_looked_at_again_when_the_policy_changed_meanwhile(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller was known by one policy, and the hold made by the next."""
    changes = {
        "another user": POLICY.replace("user: bot", "user: robot"),
        "disabled": POLICY.replace(f'"{hash_key(KEY)}",', f'"{hash_key(KEY)}", disabled: true,'),
    }
    known = counter.gate._identify
    for name, policy in changes.items():
        await counter.office.apply(POLICY)
        caller = await known(counter.request())
        answers = [caller]

        async def identify(request: Any, answers: list[Any] = answers) -> Any:
            return answers.pop() if answers else await known(request)

        monkeypatch.setattr(counter.gate, "_identify", identify)
        await counter.office.apply(policy)
        verdict = await counter.gate.admit(counter.request())
        assert isinstance(verdict, Turned if name == "disabled" else Allowed)
        if isinstance(verdict, Allowed):
            assert verdict.call.reservation_id.endswith("-2")
            await counter.office.engine.release("acme", verdict.call.reservation_id)
        assert not counter.office.held()


LASTING = Ending(sent=True, status=200, streamed=True)


async def test_a_hold_is_kept_and_a_lost_one_is_no_error(counter: Counter) -> None:
    verdict = await counter.allowed()
    counter.office.store.ahead_ms = 300_000
    await counter.gate.keep(verdict.call, LASTING)
    counter.office.store.ahead_ms = 800_000
    await counter.allowed()
    assert not counter.office.partition.count.get("acme:b:daily:user=bot:s")
    with capture_logs() as logs:
        assert await counter.gate.keep(verdict.call._replace(reservation_id="e-nobody"), LASTING)
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_a_proxy_that_leaves_before_the_verdict_holds_nothing(counter: Counter) -> None:
    await counter.allowed()
    held, store = counter.office.held(), counter.office.store
    store.answering.clear()
    asking = asyncio.create_task(counter.gate.admit(counter.request()))
    await until(lambda: store.asked["reserve"] == 2)
    asking.cancel()
    store.answering.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: store.asked["release"] == 1 and counter.office.held() == held)


@pytest.mark.parametrize("answered", [False, True])
async def test_a_call_without_room_is_told_its_ticket(counter: Counter, answered: bool) -> None:
    await counter.office.apply(POLICY.replace("window: day", "window: total, on_exhausted: ticket"))
    for _ in range(9):
        await counter.allowed()
    first, second = [await counter.turned() for _ in range(2)]
    assert (first.status, first.reason) == (429, "BUDGET_EXHAUSTED")
    ticket_id = dict(first.headers)["x-tallystick-ticket"]
    assert dict(second.headers)["x-tallystick-ticket"] == ticket_id
    assert f"ticket {ticket_id} asks for more" in json.loads(first.body)["error"]["message"]
    if answered:
        answer = AnswerCall("acme", ticket_id, AnswerKind.APPROVE, "ann", "", 10**9, Unit.NANO_USD)
        await counter.office.administration.tickets.answer(answer)
        await counter.allowed()
    else:
        answer = AnswerCall("acme", ticket_id, AnswerKind.REJECT, "ann", "not today")
        await counter.office.administration.tickets.answer(answer)
        refused = await counter.turned()
        assert dict(refused.headers)["x-tallystick-ticket"] == ticket_id
        assert "rejected by ann: not today" in json.loads(refused.body)["error"]["message"]
