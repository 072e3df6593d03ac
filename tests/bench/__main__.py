"""`python -m tests.bench`: measures, prints the tables, and exits with 0 whatever the figures are."""

import argparse
import json
import sys
from pathlib import Path

from tests.bench import report
from tests.bench.acceptance import verdicts
from tests.bench.rounds import LEVELS, Options, Rounds

QUICK = Options(seconds=0.4, rounds=1)


def main(arguments: list[str] | None = None) -> None:
    """Raises AssertionError when a call failed, or what is held is not what was admitted."""
    given = _parse(arguments)
    plan = Options(given.seconds, given.rounds, tuple(given.in_flight))

    def tell(line: str) -> None:
        if not given.silent:
            sys.stderr.write(f"{line}\n")

    facts = report.facts(plan.seconds, plan.rounds)
    results = Rounds(plan, tell).run()
    judged = verdicts(results)
    if given.json:
        given.json.write_text(json.dumps(report.as_json(facts, results, judged), indent=1) + "\n")
    described = report.describe(facts, "held == admitted", "Settle: tests.bench.http2")
    sys.stdout.write(f"{described}\n\n{report.table(results)}\n\n{report.acceptance_table(judged)}\n")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description="What a decision costs.")
    parser.add_argument("--seconds", type=float, help="of one measurement; each cell has one a round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--in-flight", type=int, nargs="+", choices=LEVELS, default=LEVELS)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    parser.add_argument("--silent", action="store_true", help="print the tables only")
    given = parser.parse_args(arguments)
    chosen = QUICK if given.quick else Options()
    given.seconds = given.seconds or chosen.seconds
    given.rounds = given.rounds or chosen.rounds
    return given


if __name__ == "__main__":
    main()
