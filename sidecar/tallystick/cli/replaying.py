"""`tallystick settle --access-log`: the ends that Envoy wrote to a file while nobody was there to be told."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tallystick.cli.connection import budget_service
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import Connection
from tallystick.cli.output import print_json, show
from tallystick.core.money import usd_text
from tallystick.proxied.calls import Ending, HeldCall
from tallystick.proxied.ends import End, end_of
from tallystick.proxied.entries import Entry, ending_of
from tallystick.proxied.packing import CALL, unpack
from tallystick.proxied.rates import Rates

if TYPE_CHECKING:
    from tallystick.v1 import budget_pb2 as pb

BATCH = 200
MOST_PROBLEMS = 20
"""How many are shown."""
ENDS = "DownstreamEnd"
COUNTED = (
    *("lines", "settled", "released", "charged_nano_usd", "late", "estimated"),
    *("unheld", "unreadable", "failed"),
)
_WITHIN = ("input_token_details", "output_token_details")


class Line(NamedTuple):
    """A call of ours in the file, and its end."""

    number: int
    call: HeldCall
    ending: Ending


class Replay:
    """One run over a file."""

    def __init__(self, service: Any, timeout_s: float) -> None:
        self._service = service
        self._timeout_s = timeout_s
        self._rates = Rates()
        self._begin()

    def _begin(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
        self.problems: list[str] = []

    def run(self, name: str) -> None:
        """Learn what bytes stand for from the whole file, then tell the sidecar of each end."""
        for line in self._calls(name):
            self._rates.learn(line.call, line.ending)
        self._begin()
        waiting: list[tuple[Line, End]] = []
        for line in self._calls(name):
            end = end_of(line.call, line.ending, self._rates)
            if end.outcome is None:
                self._release(line)
                continue
            waiting.append((line, end))
            if len(waiting) == BATCH:
                self._settle(waiting)
                waiting = []
        self._settle(waiting)

    def _calls(self, name: str) -> Iterator[Line]:
        for number, text in enumerate(_lines(name), 1):
            self.counts["lines"] += 1
            try:
                fields = json.loads(text)
                ours = isinstance(fields, dict) and fields.get("type", ENDS) == ENDS
                packed = _object(fields, "decision").get(CALL) if ours else None
                call = unpack(packed) if isinstance(packed, str) else None
                if call is None:
                    self.counts["unheld"] += 1
                    continue
                ending = ending_of(_entry(fields), call.api, call.held)
            except (ValueError, TypeError, RecursionError):
                self._trouble("unreadable", f"line {number}: expected an entry of Envoy's access log in JSON")
                continue
            yield Line(number, call, ending)

    def _settle(self, waiting: list[tuple[Line, End]]) -> None:
        from tallystick.v1 import budget_pb2 as pb

        if not waiting:
            return
        batch = pb.SettleBatchRequest(requests=[_request(line.call, end) for line, end in waiting])
        answer = self._service.SettleBatch(batch, timeout=self._timeout_s)
        for (line, _), item in zip(waiting, answer.items, strict=True):
            if item.HasField("error"):
                place = f"line {line.number}: {line.call.reservation_id}"
                self._trouble("failed", f"{place}: {item.error.message}")
                continue
            settled = item.response
            self.counts["settled"] += 1
            self.counts["late"] += settled.late
            self.counts["estimated"] += settled.estimated
            self.counts["charged_nano_usd"] += settled.charged.nano_usd
        self._tell()

    def _release(self, line: Line) -> None:
        import grpc

        from tallystick.v1 import budget_pb2 as pb

        call = line.call
        request = pb.ReleaseRequest(tenant=call.tenant, reservation_id=call.reservation_id)
        try:
            self._service.Release(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            self._trouble("failed", f"line {line.number}: {call.reservation_id}: {error.details()}")
        else:
            self.counts["released"] += 1

    def _trouble(self, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(text)

    def _tell(self) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{self.counts['lines']} lines")


def replay(name: str, connection: Connection) -> None:
    """Settle and release what a file tells of. What was settled before stays as it is."""
    with budget_service(connection) as service:
        run = Replay(service, connection.timeout_s)
        run.run(name)
    counts = run.counts
    if connection.as_json:
        print_json({**counts, "problems": run.problems})
    else:
        charged = usd_text(counts["charged_nano_usd"])
        show(
            f"{counts['lines']} lines: {counts['settled']} calls settled, {charged} USD in all, "
            f"{counts['released']} released",
            f"{counts['late']} of them had expired or were not known, {counts['estimated']} are estimates",
            f"{counts['unheld']} lines are of calls that nothing was held for",
            *run.problems,
        )
    if counts["failed"] or counts["unreadable"]:
        raise CommandError(
            ExitCode.REFUSED, f"{counts['failed']} calls were refused, {counts['unreadable']} lines not read"
        )


def _request(call: HeldCall, end: End) -> "pb.SettleRequest":
    from tallystick.v1 import budget_pb2 as pb

    assert end.outcome is not None
    return pb.SettleRequest(
        tenant=call.tenant,
        reservation_id=call.reservation_id,
        tally=call.tally,
        outcome=f"OUTCOME_{end.outcome.name}",
        usage=pb.Usage(**end.usage._asdict()) if end.usage else None,
        estimated=end.estimated,
    )


def _entry(fields: Mapping[str, Any]) -> Entry:
    counts = dict(_object(fields, "usage"))
    for name in _WITHIN:
        counts |= _object(counts, name)
    return Entry(
        details=str(fields.get("code_details", "")),
        code=int(fields.get("code", 0)),
        attempts=int(fields.get("attempts", 0)),
        body_bytes=int(fields.get("response_bytes", 0)),
        content_type=str(fields.get("content_type", "")),
        content_encoding=str(fields.get("content_encoding", "")),
        counts=counts if counts.get("extraction_status") in ("COMPLETE", "PARTIAL") else {},
        complete=counts.get("extraction_status") == "COMPLETE",
        answer=_object(fields, "answer"),
    )


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _lines(name: str) -> Iterator[bytes]:
    try:
        with Path(name).open("rb") as file:
            yield from file
    except OSError as error:
        raise CommandError(ExitCode.USAGE, f"{name}: {error.strerror}") from None
