"""The benchmark itself, in seconds: that it measures every cell, and that its counts are exact."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.v1 import budget_pb2 as pb
from tests.bench import __main__ as bench
from tests.bench import http2, load, measure
from tests.bench.acceptance import verdicts
from tests.bench.measure import ECHO_CASE, Sample
from tests.bench.rounds import Cell, Measured, Options, Rounds
from tests.bench.targets import EchoTarget


def test_a_tiny_run_measures_every_cell_and_holds_what_it_admits(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measure, "WARM_UP_S", 0.05)
    file = tmp_path / "bench.json"

    bench.main(["--seconds", "0.1", "--rounds", "1", "--in-flight", "32", "--silent", "--json", str(file)])

    written = json.loads(file.read_text())
    assert {(cell["what"], cell["transport"], cell["in_flight"]) for cell in written["cells"]} == {
        ("echo", "grpcio", 32),
        ("echo", "native", 32),
        ("Reserve", "grpcio", 32),
        ("Reserve", "native", 32),
        ("Reserve beside these", "native", 32),
        ("Reserve with a token", "native", 32),
        ("Reserve under tickets", "native", 32),
        ("Settle", "native", 32),
        ("ReserveBatch of 32", "native", 32),
        ("the script alone", "none", 64),
    }
    one_script = next(each for each in written["acceptance"] if each["what"].startswith("EVALSHA"))
    assert one_script["met"]
    printed = capsys.readouterr().out
    assert "| Reserve over native ÷ bare grpc.aio echo, decisions/s, 32 in flight" in printed
    assert "held == admitted" in printed


def test_a_run_whose_counts_differ_from_its_calls_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_cost_nano_usd", lambda target: 1)

    with pytest.raises(AssertionError, match="Reserve: counted"):
        Rounds(Options(0.05, 1, (1,)), lambda line: None).run()


@pytest.fixture(params=["grpcio", "native"])
def echo(request: pytest.FixtureRequest, directory: Path) -> Iterator[EchoTarget]:
    with EchoTarget(request.param, directory, pb.ReserveResponse(tally=b"t" * 900)) as target:
        yield target


@pytest.mark.parametrize("in_flight", [1, 200])
def test_the_small_client_makes_every_call_once(echo: EchoTarget, in_flight: int) -> None:
    # Nine of them fill the window that a connection begins with.
    request = pb.ReserveRequest(model="m" * 8000).SerializeToString()

    run = http2.run(echo.port, ECHO_CASE.path, itertools.repeat(request), 500, in_flight)

    assert run.calls == len(run.latencies_us) == 500


def test_the_small_client_sees_a_call_fail(echo: EchoTarget) -> None:
    with pytest.raises(AssertionError, match="has no message"):
        http2.run(echo.port, f"{measure.SERVICE}/Settle", [b""], 1, 1)


@pytest.mark.skipif(load.H2LOAD is None, reason="h2load is not installed (Debian: nghttp2-client)")
def test_h2load_makes_every_call_once(echo: EchoTarget) -> None:
    run = load.run_h2load(echo.port, ECHO_CASE.path, ECHO_CASE.message, 400, 32)

    assert run.calls == len(run.latencies_us) == 400


def sample(a_second: float = 1000.0, server_cpu_us: float = 100.0, p50_us: int = 100) -> Sample:
    return Sample(1000, 1.0, a_second, server_cpu_us, None, p50_us, 200, 300, 1064)


def test_verdicts_are_of_medians() -> None:
    results = {
        Cell("echo", "grpcio", 32): Measured("", [sample(1000), sample(5000), sample(1000)]),
        Cell("Reserve", "native", 32): Measured("", [sample(1500), sample(1500), sample(100)]),
    }

    found = {each.what: each for each in verdicts(results)}

    ratio = found["Reserve over native ÷ bare grpc.aio echo, decisions/s, 32 in flight"]
    assert (ratio.value, ratio.met) == (1.5, True)
    scripts = found["EVALSHA a Reserve, the sweeper's taken off"]
    assert (scripts.value, scripts.met) == (1.0, True)


def test_what_was_not_measured_is_not_judged() -> None:
    assert {(each.value, each.met) for each in verdicts({})} == {(None, None)}


def test_more_scripts_than_decisions_are_seen() -> None:
    twice = Sample(1000, 1.0, 1000.0, 100.0, 50.0, 100, 200, 300, 2000)
    results = {Cell("Reserve", "native", 32): Measured("", [twice])}

    found = {each.what: each for each in verdicts(results)}

    assert found["EVALSHA a Reserve, the sweeper's taken off"].met is False
