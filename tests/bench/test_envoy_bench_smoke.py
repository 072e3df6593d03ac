"""The benchmark of calls through Envoy itself, in seconds: every cell is measured, and its proofs hold."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import http2, load
from tests.bench.envoy import __main__ as bench
from tests.bench.envoy import json_calls, proofs, streams, workload
from tests.bench.envoy.acceptance import verdicts
from tests.bench.envoy.chains import FAST, NOOP, PLAIN, SIDECAR, SLOW, Chain, Lane, Providers, chains
from tests.bench.envoy.json_calls import CallSample
from tests.bench.envoy.rounds import LANES, LEVELS, STREAMING, Cell, Options, Results, Rounds, StreamCell
from tests.bench.envoy.streams import Memory, StreamSample

AUTHZ = LANES[0]
SMALL = Options(seconds=0.05, rounds=1, streams=4, first_events=2, memory_streams=20)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_calls, "WARM_UP_S", 0.05)
    monkeypatch.setattr(json_calls, "FEWEST_CALLS", 64)
    monkeypatch.setattr(streams, "IDLE_S", 0.05)


def test_a_tiny_run_measures_every_cell_and_proves_its_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", SMALL)
    file = tmp_path / "bench.json"

    bench.main(["--quick", "--silent", "--json", str(file)])

    written, names = json.loads(file.read_text()), (PLAIN, NOOP, SIDECAR)
    found = {(each["way"], each["transport"], each["chain"], each["in_flight"]) for each in written["calls"]}
    assert found == {(*lane, name, level) for lane in LANES for name in names for level in LEVELS}
    streamed = {(each["way"], each["transport"], each["chain"]) for each in written["streams"]}
    assert streamed == {(*lane, name) for lane in STREAMING for name in names}
    assert {(each["way"], each["streams"]) for each in written["memory"]} == {("authz", 20), ("proc", 20)}
    assert all(each["met"] is not None for each in written["acceptance"])
    printed = capsys.readouterr().out
    assert "| authz, native: calls/s, 64 in flight" in printed
    assert "reserved == settled == the ledger" in printed


def test_a_run_whose_ledger_differs_from_its_calls_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "COST_NANO_USD", workload.COST_NANO_USD + 1)

    with pytest.raises(AssertionError, match="authz: counted"):
        Rounds(replace(SMALL, lanes=(AUTHZ,)), lambda line: None).run()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("b")
    with Providers(folder) as providers, chains(AUTHZ, providers, folder / "a") as found:
        yield found[0]


@pytest.fixture(params=[True, False], ids=["h2load", "the small client"])
def _client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(load, "H2LOAD", None)
    elif load.H2LOAD is None:
        pytest.skip("h2load is not installed (Debian: nghttp2-client)")


@pytest.mark.usefixtures("_client")
@pytest.mark.parametrize("in_flight", [1, 64])
def test_both_clients_make_every_call_once(plain: Chain, in_flight: int) -> None:
    run = json_calls.post(plain, FAST, workload.BODY, 150, in_flight)

    assert run.calls == len(run.latencies_us) == 150


@pytest.mark.usefixtures("_client")
def test_both_clients_see_streams_to_their_end(plain: Chain) -> None:
    run = json_calls.post(plain, SLOW, workload.STREAMED_BODY, 8, 4, workload.SHORT)

    assert len(run.latencies_us) == 8
    assert run.latencies_us[0] >= 90_000  # ten chunks, spaced 10 ms


@pytest.mark.usefixtures("_client")
def test_both_clients_see_a_call_fail(plain: Chain) -> None:
    with pytest.raises(AssertionError):
        json_calls.post(plain, "nobody", workload.BODY, 1, 1)


def test_the_small_client_sends_json_as_it_is(plain: Chain) -> None:
    path, messages = f"/{FAST}{workload.PATH}", itertools.repeat(workload.BODY)

    assert http2.run(plain.port, path, messages, 3, 1, workload.HEADERS).calls == 3


def calls(a_second: float = 1_000.0, p50_us: int = 100, asked_cpu_us: float = 100.0) -> CallSample:
    return CallSample(1_000, 1.0, a_second, p50_us, 200, 50.0, asked_cpu_us, None)


def stream(first_event_us: float, decision_us: float | None) -> StreamSample:
    return StreamSample(100, first_event_us, decision_us, 100.0, None)


def test_verdicts_are_of_medians() -> None:
    floor, ours = (Cell(AUTHZ, name, 64) for name in (NOOP, SIDECAR))
    results = Results(
        calls={floor: [calls()], ours: [calls(p50_us=us, a_second=7_000) for us in (120, 130, 900)]},
        streams={
            StreamCell(AUTHZ, NOOP): [stream(500, None)],
            StreamCell(AUTHZ, SIDECAR): [stream(800, 200)],
        },
        memory={AUTHZ: Memory(10_000, before=100_000, after=101_000)},
    )

    found = {each.what: (each.value, each.met) for each in verdicts(results)}

    assert found["authz, native: p50 ÷ that of no-op handlers, 64 in flight"] == (1.3, True)
    assert found["authz, native: calls/s, 64 in flight"] == (7_000, True)
    assert found["authz, native: µs of the sidecar's CPU a call, 64 in flight"] == (100, True)
    assert found["authz, native: first event later than with no-op handlers ÷ the decision"] == (1.5, False)
    assert found["authz, native: resident after the streams ÷ before, 10,000"] == (1.01, True)
    assert found["proc, native: p50 ÷ that of no-op handlers, 1 in flight"] == (None, None)


def test_what_was_not_measured_is_not_judged() -> None:
    assert {(each.value, each.met) for each in verdicts(Results())} == {(None, None)}


def test_a_lane_says_what_it_is() -> None:
    assert str(Lane(AUTHZ.way, "grpcio")) == "authz, grpcio"
