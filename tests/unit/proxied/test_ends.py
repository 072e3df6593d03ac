"""What each end of a call costs: the table of docs/reference/envoy.md."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.core.errors import StoreUnavailable
from tallystick.core.outcome import Outcome
from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied import closing
from tallystick.proxied.calls import Ending
from tallystick.proxied.ends import RELEASED, End, end_of
from tallystick.proxied.packing import pack, unpack
from tallystick.proxied.rates import MOST_RATES, Rates
from tests.unit.proxied.counter import HELD, POLICY, Counter, held_call

USED = Usage(input=90, output=30)
START = Usage(input=80, cache_read=10, output=1)
STREAM: dict[str, Any] = {"sent": True, "status": 200, "streamed": True}
JSON: dict[str, Any] = {"sent": True, "status": 200}
DONE = Ending(**STREAM, usage=USED, complete=True, output_bytes=300)

NOTHING_LEARNED: dict[str, tuple[Ending, End]] = {
    "never sent": (Ending(sent=False), RELEASED),
    "never sent, client left": (Ending(sent=False, client_left=True), RELEASED),
    "complete": (DONE, End(Outcome.COMPLETED, USED)),
    "complete, and then the client left": (DONE._replace(client_left=True), End(Outcome.COMPLETED, USED)),
    "complete, and then it broke off": (DONE._replace(provider_broke_off=True), End(Outcome.COMPLETED, USED)),
    "error": (Ending(True, 500), End(Outcome.PROVIDER_ERROR_UNBILLED)),
    "error of the client": (Ending(True, 400), End(Outcome.PROVIDER_ERROR_UNBILLED)),
    "too many": (Ending(True, 429, output_bytes=99), End(Outcome.PROVIDER_ERROR_UNBILLED)),
    "error, client left": (Ending(True, 503, client_left=True), End(Outcome.PROVIDER_ERROR_UNBILLED)),
    "error with usage": (Ending(True, 500, usage=USED), End(Outcome.PROVIDER_ERROR_BILLED, USED)),
    "no answer": (Ending(True), End(Outcome.UNKNOWN)),
    "no answer, client left": (Ending(True, client_left=True), End(Outcome.CLIENT_ABORTED)),
    "no answer, broke off": (Ending(True, provider_broke_off=True), End(Outcome.UNKNOWN)),
    "no usage": (Ending(**JSON, output_bytes=300), End(Outcome.COMPLETED_NO_USAGE)),
    "no usage, stream": (Ending(**STREAM, output_bytes=300), End(Outcome.COMPLETED_NO_USAGE)),
    "no usage, compressed": (Ending(**STREAM), End(Outcome.COMPLETED_NO_USAGE)),
    "client left a stream": (
        Ending(**STREAM, client_left=True, output_bytes=300),
        End(Outcome.CLIENT_ABORTED, HELD._replace(output=100), True),
    ),
    "client left a stream at once": (
        Ending(**STREAM, client_left=True, output_bytes=0),
        End(Outcome.CLIENT_ABORTED, HELD._replace(output=0), True),
    ),
    "client left a long stream": (
        Ending(**STREAM, client_left=True, output_bytes=9_000_000),
        End(Outcome.CLIENT_ABORTED, HELD, True),  # no more than was held
    ),
    "client left a compressed stream": (Ending(**STREAM, client_left=True), End(Outcome.CLIENT_ABORTED)),
    "client left within a document": (
        Ending(**JSON, client_left=True, output_bytes=3),
        End(Outcome.CLIENT_ABORTED),  # which the provider had made whole
    ),
    "client left, some usage": (
        Ending(**STREAM, client_left=True, usage=START, output_bytes=30),
        End(Outcome.CLIENT_ABORTED, START._replace(output=10), True),
    ),
    "client left, more usage than bytes": (
        Ending(**STREAM, client_left=True, usage=START._replace(output=500), output_bytes=30),
        End(Outcome.CLIENT_ABORTED, START._replace(output=500), True),
    ),
    "client left, usage without input": (
        Ending(**STREAM, client_left=True, usage=Usage(output=400), output_bytes=30),
        End(Outcome.CLIENT_ABORTED, HELD._replace(output=400), True),
    ),
    "broke off": (
        Ending(**STREAM, provider_broke_off=True, output_bytes=300),
        End(Outcome.PROVIDER_ERROR_BILLED, HELD._replace(output=100), True),
    ),
    "broke off within a document": (
        Ending(**JSON, provider_broke_off=True, output_bytes=3), End(Outcome.PROVIDER_ERROR_BILLED)
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ending", "end"), NOTHING_LEARNED.values(), ids=NOTHING_LEARNED.keys())
async def test_what_an_end_means(ending: Ending, end: End) -> None:
    assert end_of(held_call(), ending, Rates()) == end


@pytest.mark.parametrize(("ending", "end"), NOTHING_LEARNED.values(), ids=NOTHING_LEARNED.keys())
async def test_the_engine_takes_every_end(ending: Ending, end: End) -> None:
    counter = Counter()
    await counter.office.apply(POLICY)
    call = (await counter.allowed()).call
    held = counter.office.held()
    charged = await counter.charged(call, ending)
    if end.outcome in (None, Outcome.PROVIDER_ERROR_UNBILLED):
        assert charged == 0
    elif end.usage is None:
        assert charged == held
    else:
        assert charged > 0
    assert not counter.office.metrics.proxied_end("LOST").value
    assert await counter.charged(call, ending) == 0  # told again, it changes nothing


LEARNED: dict[str, tuple[Ending, End]] = {
    "stream": (Ending(**STREAM, output_bytes=600), End(Outcome.COMPLETED, HELD._replace(output=60), True)),
    "rounded up": (
        Ending(**STREAM, output_bytes=601), End(Outcome.COMPLETED, HELD._replace(output=61), True)
    ),
    "document": (Ending(**JSON, output_bytes=600), End(Outcome.COMPLETED_NO_USAGE)),  # another kind
    "text alone": (Ending(**STREAM, text_seen=True, output_bytes=600), End(Outcome.COMPLETED_NO_USAGE)),
    "nothing measured": (Ending(**STREAM), End(Outcome.COMPLETED_NO_USAGE)),
    "client left": (
        Ending(**STREAM, client_left=True, output_bytes=20_000),
        End(Outcome.CLIENT_ABORTED, HELD._replace(output=2_000), True),  # also more than was held
    ),
    "broke off": (
        Ending(**STREAM, provider_broke_off=True, output_bytes=10),
        End(Outcome.PROVIDER_ERROR_BILLED, HELD._replace(output=1), True),
    ),
    "half a record": (
        Ending(**STREAM, usage=START, output_bytes=600),
        End(Outcome.COMPLETED, START._replace(output=60), True),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ending", "end"), LEARNED.values(), ids=LEARNED.keys())
def test_what_an_end_means_once_bytes_are_known(ending: Ending, end: End) -> None:
    rates = Rates()
    rates.learn(held_call(), DONE)  # a token of ten bytes
    assert end_of(held_call(), ending, rates) == end


def test_work_that_goes_on_at_the_provider_is_not_told_by_its_bytes() -> None:
    rates, call = Rates(), held_call(Api.OPENAI_RESPONSES)
    rates.learn(call, DONE._replace(streamed=False))
    assert end_of(call, Ending(**JSON, output_bytes=300), rates) == End(Outcome.COMPLETED_NO_USAGE)


def test_a_rate_follows_what_is_seen_and_forgets_what_is_not() -> None:
    rates, call, probe = Rates(), held_call(), Ending(**STREAM, output_bytes=1_000)
    rates.learn(call, DONE)
    assert rates.tokens(call, probe) == 100
    for _ in range(200):
        rates.learn(call, DONE._replace(output_bytes=600))
    assert rates.tokens(call, probe) == 51  # a twentieth of them, nearly, and rounded up
    for useless in (
        DONE._replace(complete=False), DONE._replace(output_bytes=0), DONE._replace(usage=None),
        DONE._replace(usage=Usage(input=5)), DONE._replace(output_bytes=None),
    ):  # fmt: skip
        rates.learn(call, useless)
    assert rates.tokens(call, probe) == 51
    for number in range(MOST_RATES):
        rates.learn(call._replace(model=f"m{number}"), DONE)
    assert rates.tokens(call, probe) is None


@pytest.mark.parametrize("api", Api)
def test_a_call_comes_back_out_of_its_text(api: Api) -> None:
    call = held_call(api)._replace(tally=bytes(range(256)), held=Usage(1, 2, 3, 4, 5, 2), model='a"b/ü')
    assert unpack(pack(call)) == call


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "\t" * 10, "t\tr\t%%\topenai.chat\tm\t0\t0\t0\t0\t0\t0"),
        *("t\tr\t\tno.api\tm\t0\t0\t0\t0\t0\t0", "t\tr\t\topenai.chat\tm\t0\t0\t0\t0\t0"),
        *("t\tr\t\topenai.chat\tm\t0\t0\t0\t0\t0\tx", "t\tr\t\topenai.chat\tm\t0\t0\t0\t0\t0\t0\t0"),
    ],
)
def test_another_text_is_no_call(text: str) -> None:
    assert unpack(text) is None


async def test_an_end_that_cannot_be_charged_is_logged_and_counted() -> None:
    counter = Counter()
    await counter.office.apply(POLICY)
    call = (await counter.allowed()).call
    await counter.gate.end(call, DONE)
    with capture_logs() as logs:
        await counter.gate.end(call, DONE._replace(usage=Usage(input=1, output=1)))
        await counter.gate.end(call._replace(tally=b"forged"), DONE)
    assert [entry["log_level"] for entry in logs] == ["warning"] * 2
    assert counter.office.metrics.proxied_end("LOST").value == 2
    assert not [entry for entry in logs if "tally" in entry]


async def test_an_end_waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closing, "RETRY_S", 0.001)
    counter = Counter()
    await counter.office.apply(POLICY)
    call = (await counter.allowed()).call
    settle, tries = counter.office.store.settle, 0

    async def sometimes(*asked: object) -> object:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise StoreUnavailable("it is away")
        return await settle(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(counter.office.store, "settle", sometimes)
    assert await counter.charged(call, DONE) == 90 * 10_000 + 30 * 100_000
    monkeypatch.setattr(closing, "KEEP_TRYING_S", 0.0)
    tries = -1_000
    other = (await counter.allowed()).call
    await counter.gate.end(other, DONE)
    assert counter.office.metrics.proxied_end("LOST").value == 1


async def test_a_report_of_bytes_is_corrected_by_a_settle_that_knows() -> None:
    counter = Counter()
    await counter.office.apply(POLICY)
    call = (await counter.allowed()).call
    left = Ending(**STREAM, client_left=True, output_bytes=300)
    estimated = await counter.charged(call, left)
    assert await counter.charged(call, left._replace(output_bytes=3_000)) == 0  # no better than the first
    assert await counter.charged(call, DONE) == 90 * 10_000 + 30 * 100_000 - estimated
