"""Do the tests notice when a guard of the scripts is broken? Not collected by pytest.

    python -m tests.store.mutate_lua [FILE.lua …] [--guards] [--jobs N] [--list]

For every line of code in `store/lua`, one mutation at a time is made in a
temporary copy of the package: a comparison turned, a condition made always or
never true, `and` for `or`, an operand of `math.max` dropped, a number off by
one, a statement left out. The tests of the store then run against that copy on
the bundled Valkey. A mutant that they pass has survived: either a test is
missing, or the mutant changes nothing that anyone could see; `UNSEEN` lists
those, each with its reason. The exit code is 1 when any other survives.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import tallystick

SOURCES = Path(tallystick.__file__).parent
ROOT = Path(__file__).parents[2]
TESTS = ["tests/store/test_exact.py", "tests/store/test_contract.py", "tests/store/test_contract_ends.py"]
TESTS += sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/store/test_contract_*.py"))
TESTS += ["tests/store/test_clock_and_keys.py", "tests/model"]
ENOUGH = {"TALLYSTICK_TEST_EXAMPLES": "100", "TALLYSTICK_TEST_SHRINK": "0", "TALLYSTICK_TEST_SEED": "1"}
PATIENCE_S = 240
GUARD = re.compile(r"\s*(?:else)?if (?:true|false) then")

OPERAND = r"((?:[^(),]|\([^()]*\))+)"
MAX = rf"math\.max\({OPERAND}, {OPERAND}\)"
NUMBER = re.compile(r"(?<![\w.'\[])\d+(?![\w.'\]])")
SWAPS = (
    (r"==", "~="),
    (r"~=", "=="),
    (r"<=", "<"),
    (r">=", ">"),
    (r"(?<![<>=~-])<(?!=)", "<="),
    (r"(?<![<>=~-])>(?!=)", ">="),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\bnot ", ""),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (MAX, r"(\1)"),
    (MAX, r"(\2)"),
    (r"^(\s*(?:else)?if ).+( then)", r"\1true\2"),
    (r"^(\s*(?:else)?if ).+( then)", r"\1false\2"),
)
STATEMENT = re.compile(r"^\s*((call|append|finish|end_due|charge|write_hold|post)\(|[\w.]+(, [\w.]+)* = )")

UNSEEN: dict[tuple[str, str, str], str] = {
    (
        "_counts.lua",
        "if value == nil then value = counts[field] end",
        "if false then value = counts[field] end",
    ): "what was read is read again",
    (
        "_counts.lua",
        "if n == #fields then return found end",
        "if false then return found end",
    ): "the same, one by one",
    (
        "_lots.lua",
        "if not a.expires then return '0' end",
        "if false then return '0' end",
    ): "none of them lapses",
    ("_lots.lua", "if less(held, '0') then held = '0' end", "if false then held = '0' end"): "it never is",
    (
        "_receive.lua",
        "if a[2] ~= b[2] then return a[2] < b[2] end",
        "if a[2] ~= b[2] then return a[2] <= b[2] end",
    ): "they differ",
    (
        "_receive.lua",
        "a.expires = a.expires or lot[3] > 0",
        "a.expires = a.expires or lot[3] >= 0",
    ): "none of them lapses",
    (
        "_receive.lua",
        "a.expires = a.expires or lot[3] > 0",
        "a.expires = a.expires or lot[3] > 1",
    ): "no lot expires in 1970",
    (
        "_times.lua",
        "if #text < 13 then return format('%d', text * factor) end",
        "if false then return format('%d', text * factor) end",
    ): "the same, in limbs",
    ("learn.lua", "if #newcomers > 0 then", "if true then"): "the index is written anew, as it is",
    (
        "extend.lua",
        "if more then end_due(END_BEFORE_REFUSAL, retention_ms) end",
        "if true then end_due(END_BEFORE_REFUSAL, retention_ms) end",
    ): "nothing more is due",
    ("extend.lua", "if hold.wallet ~= '' then", "if true then"): "nothing is added to no wallet",
    ("_tickets.lua", "if t.state == 'A' then", "if true then"): "an open one is of an amount of 0",
    ("settle.lua", "if looked then return end", "if false then return end"): "nothing more is due",
    ("_charge.lua", "elseif change ~= '0' then", "elseif true then"): "a refund of nothing changes nothing",
    (
        "_due.lua",
        "if #members == 0 then return end",
        "if false then return end",
    ): "what nobody uses is defined",
    (
        "_due.lua",
        "if found[2] then writes[spent] = minus(found[2], found[1] or '0') end",
        "if true then writes[spent] = minus(found[2], found[1] or '0') end",
    ): "a window that is gone had spent nothing, and so had its buckets",
    (
        "_hold.lua",
        "if ends:sub(1, 1) ~= '~' then return nil end",
        "if false then return nil end",
    ): "nothing matches then, either",
    (
        "_tries.lua",
        "if account.came ~= '0' then accounts[i], funds[2 * i - 1] = account, account.balance end",
        "if true then accounts[i], funds[2 * i - 1] = account, account.balance end",
    ): "a period that is not the last one brings something",
    (
        "_tries.lua",
        "if limits then t.reason, t.binds = weigh(t.budgets, t.values, t.offset, t.amounts, limits) end",
        "if true then t.reason, t.binds = weigh(t.budgets, t.values, t.offset, t.amounts, limits) end",
    ): "weighed again, the same",
    ("_tries.lua", "if many then measure(t) end", "if false then measure(t) end"): "the same, as texts",
    ("_tries.lua", "if many then measure(t) end", "if true then measure(t) end"): "the same, as numbers",
    ("_tries.lua", "if next(writes) then", "if true then"): "there is nothing to take over",
    (
        "_tries.lua",
        "if t and of_tries == 1 then return t end",
        "if false then return t end",
    ): "what is taken over anew is the same",
    (
        "_tries.lua",
        "if values[at] ~= wallet[5] .. ':' .. int(wallet[6]) then",
        "if true then",
    ): "what was granted is not granted again",
    (
        "charge.lua",
        "if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then",
        "if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] - 0 then",
    ): "the same",
    (
        "charge.lua",
        "if version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0 then",
        "if version ~= ARGV[2] or now < ARGV[3] - 0 or now >= ARGV[4] + 0 then",
    ): "the same",
    (
        "learn.lua",
        "if #names > most_pairs then keep_the_most_used(names, totals, is_new, dropped) end",
        "if #names >= most_pairs then keep_the_most_used(names, totals, is_new, dropped) end",
    ): "none is dropped",
    (
        "learn.lua",
        "if #names > most_pairs then keep_the_most_used(names, totals, is_new, dropped) end",
        "if true then keep_the_most_used(names, totals, is_new, dropped) end",
    ): "none is dropped",
    ("learn.lua", "if #newcomers > 0 then", "if #newcomers >= 0 then"): "the index is written anew, as it is",
    (
        "learn.lua",
        "if totals[a] ~= totals[b] then return totals[a] > totals[b] end",
        "if totals[a] ~= totals[b] then return totals[a] >= totals[b] end",
    ): "they differ",
    (
        "learn.lua",
        "return {0, now, seq, epoch, replies}",
        "return {1, now, seq, epoch, replies}",
    ): "there is one reply",
    (
        "list_tokens.lua",
        "return {0, stamp, tokens()}",
        "return {1, stamp, tokens()}",
    ): "the other reply is the one that is looked for",
    (
        "reserve.lua",
        "if #due == 0 then return end",
        "if false then return end",
    ): "everything is read again, as it is",
    (
        "reserve.lua",
        "if more ~= false then end_some(MOST_DUE) end",
        "if true then end_some(MOST_DUE) end",
    ): "nothing more is due",
    ("reserve.lua", "if not defined then", "if true then"): "what was defined is defined again",
    (
        "resolve.lua",
        "if is_so() then return {3, value} end",
        "if is_so() then return {4, value} end",
    ): "only 0 says that it changed",
    (
        "suspend.lua",
        "if (kind == 'suspend') == (suspended ~= false) then return {3, suspended or ''} end",
        "if (kind == 'suspend') == (suspended ~= false) then return {4, suspended or ''} end",
    ): "only 0 says that it changed",
    (
        "take.lua",
        "if more then end_due(END_BEFORE_REFUSAL, retention_ms) end",
        "if true then end_due(END_BEFORE_REFUSAL, retention_ms) end",
    ): "nothing more is due",
    (
        "take.lua",
        "if not replayed and (version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0) then",
        "if not replayed and (version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] - 0) then",
    ): "the same",
    (
        "take.lua",
        "if not replayed and (version ~= ARGV[2] or now < ARGV[3] + 0 or now >= ARGV[4] + 0) then",
        "if not replayed and (version ~= ARGV[2] or now < ARGV[3] - 0 or now >= ARGV[4] + 0) then",
    ): "the same",
    (
        "take.lua",
        "if replayed then return {3, now, seq, epoch, verdicts} end",
        "if replayed then return {4, now, seq, epoch, verdicts} end",
    ): "the verdicts say it",
    (
        "take.lua",
        "return {0, now, seq, epoch, verdicts}",
        "return {1, now, seq, epoch, verdicts}",
    ): "the verdicts say it",
}
"""(file, line, what becomes of it) → why nobody can see it."""


class Mutant(NamedTuple):
    """One changed line."""

    file: str
    number: int
    line: str
    mutated: str

    @property
    def key(self) -> tuple[str, str, str]:
        """As in `UNSEEN`."""
        return self.file, self.line.split(" --")[0].strip(), self.mutated.strip()

    def __str__(self) -> str:
        mutated = self.mutated.strip() or "(left out)"
        return f"{self.file}:{self.number}\n    {self.line.strip()}\n    {mutated}"


def mutants(path: Path) -> Iterator[Mutant]:
    """Every mutation of a file."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = line.split(" --")[0]
        if code.strip() and not code.startswith(("--", "#!")):
            for mutated in dict.fromkeys(mutations(code)):
                yield Mutant(path.name, number, line, mutated)


def mutations(code: str) -> Iterator[str]:
    """Every mutation of a line; empty where it is left out."""
    for pattern, replacement in SWAPS:
        for match in re.finditer(pattern, code):
            mutated = code[: match.start()] + match.expand(replacement) + code[match.end() :]
            if mutated != code:
                yield mutated
    for match in NUMBER.finditer(code):
        yield code[: match.start()] + str(int(match[0]) + 1) + code[match.end() :]
    whole = all(code.count(left) == code.count(right) for left, right in ("()", "{}"))
    if whole and STATEMENT.match(code):
        yield ""


def survives(mutant: Mutant) -> bool:
    """Whether the tests pass with it."""
    with tempfile.TemporaryDirectory(prefix="ts") as folder:
        copy = Path(folder) / "tallystick"
        shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
        script = copy / "store" / "lua" / mutant.file
        lines = script.read_text().splitlines()
        lines[mutant.number - 1] = mutant.mutated
        script.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
        command += ["-k", "valkey and not redis", *TESTS]
        environment = os.environ | ENOUGH | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, timeout=PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode not in (0, 1):
            raise RuntimeError(f"the tests could not run:\n{done.stdout.decode()[-3000:]}")
        return done.returncode == 0


def main() -> int:
    """Runs the mutants; prints those that survive."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("files", nargs="*", help="scripts; all where none is given")
    parser.add_argument("--guards", action="store_true", help="only conditions made always or never true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="show the mutants, run nothing")
    arguments = parser.parse_args()
    paths = sorted((SOURCES / "store" / "lua").glob("*.lua"))
    chosen = [path for path in paths if not arguments.files or path.name in arguments.files]
    found = [mutant for path in chosen for mutant in mutants(path)]
    if arguments.guards:
        found = [mutant for mutant in found if GUARD.match(mutant.mutated)]
    wanted = [mutant for mutant in found if mutant.key not in UNSEEN]
    print(f"{len(wanted)} mutants, and {len(found) - len(wanted)} that nobody can see", flush=True)
    if arguments.list:
        print(*wanted, sep="\n")
        return 0
    survivors = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for mutant, survived in zip(wanted, pool.map(survives, wanted), strict=True):
            if survived:
                survivors += 1
                print(f"SURVIVED {mutant}", flush=True)
    print(f"{len(wanted) - survivors} killed, {survivors} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
