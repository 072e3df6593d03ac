"""`python -m tests.bench.envoy`: measures, prints the tables, and exits with 0 whatever the figures are."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from tallystick.envoy import Way
from tests.bench.envoy import report
from tests.bench.envoy.acceptance import verdicts
from tests.bench.envoy.rounds import LANES, Options, Rounds
from tests.bench.report import acceptance_table

QUICK = Options(seconds=0.3, rounds=1, streams=20, first_events=10, memory_streams=300)


def main(arguments: list[str] | None = None) -> None:
    """Raises AssertionError when a call failed, or not just the calls made were reserved and settled."""
    given = _parse(arguments)
    plan = QUICK if given.quick else Options()
    plan = replace(
        plan,
        seconds=given.seconds or plan.seconds,
        rounds=given.rounds or plan.rounds,
        memory_streams=given.memory_streams or plan.memory_streams,
        lanes=tuple(lane for lane in LANES if lane.way in given.way),
    )

    def tell(line: str) -> None:
        if not given.silent:
            sys.stderr.write(f"{line}\n")

    facts = report.facts(plan)
    results = Rounds(plan, tell).run()
    judged = verdicts(results)
    if given.json:
        given.json.write_text(json.dumps(report.as_json(facts, results, judged), indent=1) + "\n")
    sys.stdout.write(f"{report.describe(facts)}\n\n{report.tables(results)}\n\n{acceptance_table(judged)}\n")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m tests.bench.envoy", description="What a call through Envoy costs."
    )
    parser.add_argument("--seconds", type=float, help="of one measurement; each cell has one a round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--memory-streams", type=int, help="between two readings of the resident size")
    parser.add_argument("--way", type=Way, nargs="+", choices=list(Way), default=list(Way))
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--silent", action="store_true", help="print the tables only")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
