"""Whatever is built from the forms of the money model means what was written, or is refused in its place."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.core.errors import InvalidPolicy
from tallystick.core.money import MAX_AMOUNT, NANO_PER_USD
from tallystick.core.policy import (
    Budget,
    Grant,
    Ladder,
    OnExhausted,
    OutputRule,
    Policy,
    Unit,
    WalletTemplate,
)
from tallystick.core.windows import Span, Window
from tallystick.policyfile import find_problems, load_policy
from tallystick.policyfile.tree import path_text

DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
UNITS = {
    "USD": Unit.NANO_USD,
    "tokens": Unit.TOKENS,
    "requests": Unit.REQUESTS,
    "concurrent": Unit.CONCURRENT,
}
MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Chatham", "Etc/GMT+12"]
MODELS = ["gpt-5", "gpt-5-mini", "gpt-5-nano", "claude-opus", "house", "no", "42", "a b"]

Path = tuple[str | int, ...]
Written = tuple[Any, Any]
"""What stands in the document, and what it means."""


@dataclass
class Text:
    """A document in YAML of one key or item a line."""

    lines: list[str] = field(default_factory=list)
    places: dict[Path, int] = field(default_factory=dict)
    """The line of every key and item."""

    def write(self, value: Any, path: Path = ()) -> "Text":
        """Add a value and all that is in it."""
        items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        for key, item in items:
            lead = "  " * len(path) + ("- " if isinstance(key, int) else f"{json.dumps(key)}: ")
            nested = isinstance(item, dict | list) and item
            self.lines.append(lead + ("" if nested else json.dumps(item, ensure_ascii=False)))
            self.places[*path, key] = len(self.lines)
            if nested:
                self.write(item, (*path, key))
        return self

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def written_amounts(*units: str, most: int = MAX_AMOUNT // 3) -> st.SearchStrategy[Written]:
    """An amount as text, and (value, unit)."""

    def amount(unit: str, value: int) -> Written:
        if unit != "USD":
            return f"{value} {unit}", (value, UNITS[unit])
        whole, nano = divmod(value, NANO_PER_USD)
        return f"{whole}.{nano:09d} USD", (value, UNITS[unit])

    small_or_any = st.one_of(st.integers(1, 1_000), st.integers(1, most))
    return st.builds(amount, st.sampled_from(units), small_or_any)


PERCENTS = st.integers(1, 100).map(lambda percent: (f"{percent}%", percent))


@st.composite
def written_parts(draw: st.DrawFn, unit: str, whole: int) -> Written:
    """An amount of the unit or a percentage of the whole, and how much that is."""
    if draw(st.booleans()):
        text, (value, _) = draw(written_amounts(unit))
        return text, value
    text, percent = draw(PERCENTS)
    return text, int(Fraction(whole * percent, 100))


def add_zone(draw: st.DrawFn, written: dict[str, Any], span: Span, defaults: dict[str, str]) -> Window:
    """Write a zone and week start, or leave them to the document, and make the calendar window."""
    said = {}
    for key, choices in (("timezone", ZONES), ("week_start", DAYS)):
        if (key == "timezone" or span is Span.WEEK) and draw(st.booleans()):
            said[key] = draw(st.sampled_from(choices))
    written.update(said)
    meant = defaults | said
    week_start = DAYS.index(meant["week_start"]) if span is Span.WEEK else 0
    return Window(span, zone=meant["timezone"], week_start=week_start)


@st.composite
def written_wallets(draw: st.DrawFn, name: str, defaults: dict[str, str]) -> Written:
    unit = draw(st.sampled_from(["USD", "tokens"]))
    wallet: dict[str, Any] = {"unit": unit}
    if draw(st.booleans()):
        return wallet, WalletTemplate(name, unit=UNITS[unit])
    text, (amount, _) = draw(written_amounts(unit))
    span = draw(st.sampled_from([Span.DAY, Span.WEEK, Span.MONTH, Span.QUARTER, Span.YEAR]))
    wallet["grant"] = {"amount": text, "every": span.value}
    rollover = 0
    if draw(st.booleans()):
        wallet["grant"]["rollover"], rollover = draw(written_parts(unit, amount))
    every = add_zone(draw, wallet["grant"], span, defaults)
    return wallet, WalletTemplate(name, unit=UNITS[unit], grant=Grant(amount, every, rollover))


@st.composite
def written_windows(draw: st.DrawFn, budget: dict[str, Any], defaults: dict[str, str]) -> Window:
    """Write a window into the budget."""
    kind = draw(st.sampled_from(["calendar", "fixed", "rolling"]))
    if kind == "calendar":
        span = draw(st.sampled_from([Span.MINUTE, Span.HOUR, Span.DAY, Span.WEEK, Span.MONTH, Span.YEAR]))
        budget["window"] = span.value
        return add_zone(draw, budget, span, defaults)
    number, unit = draw(st.integers(1, 366)), draw(st.sampled_from(list(MS)))
    budget["window"] = f"{number}{unit}" if kind == "fixed" else f"rolling {number}{unit}"
    return Window(Span(kind), number * MS[unit])


@st.composite
def written_budgets(draw: st.DrawFn, name: str, defaults: dict[str, str], ladders: bool) -> Written:
    text, (limit, unit) = draw(written_amounts(*UNITS))
    budget: dict[str, Any] = {"limit": text}
    concurrent = unit is Unit.CONCURRENT
    window = Window(Span.TOTAL) if concurrent else draw(written_windows(budget, defaults))
    choices = [OnExhausted.DENY, OnExhausted.ALERT] + [OnExhausted.DOWNGRADE] * ladders
    on_exhausted = draw(st.sampled_from(choices))
    budget["on_exhausted"] = on_exhausted.value
    priorities: dict[str, Written] = {}
    overage = 0
    if on_exhausted is not OnExhausted.ALERT:
        names = st.sampled_from(["low", "normal", "high", "no", "70", "ü b"])
        priorities = draw(st.dictionaries(names, PERCENTS, max_size=3))
        if priorities:
            budget["priorities"] = {name: text for name, (text, _) in priorities.items()}
        if draw(st.booleans()):
            unit_name = text.split()[1]
            budget["overage"], overage = draw(written_parts(unit_name, limit))
    shares = tuple((name, percent) for name, (_, percent) in priorities.items())
    return budget, Budget(
        name, limit, unit, window, on_exhausted=on_exhausted, priorities=shares, overage=overage
    )


@st.composite
def written_ladders(draw: st.DrawFn, model: str) -> Written:
    others = st.sampled_from([name for name in MODELS if name != model])
    to = draw(st.lists(others, min_size=1, max_size=7, unique=True))
    ladder = {"model": model, "to": to}
    percent = 100
    if draw(st.booleans()):
        ladder["at"], percent = draw(PERCENTS)
    return ladder, Ladder(model, tuple(to), percent)


@st.composite
def documents(draw: st.DrawFn) -> Written:
    """A good document, and the policy that it means."""
    document: dict[str, Any] = {"tenant": "a"}
    defaults = {"timezone": "UTC", "week_start": "monday"}
    if draw(st.booleans()):
        defaults = {"timezone": draw(st.sampled_from(ZONES)), "week_start": draw(st.sampled_from(DAYS))}
        document |= defaults
    asked = draw(st.lists(st.sampled_from([*MODELS, "*", "gpt-?"]), max_size=3, unique=True))
    ladders = [draw(written_ladders(model)) for model in asked]
    wallets = {name: draw(written_wallets(name, defaults)) for name in ("w", "x")}
    budgets = {
        name: draw(written_budgets(name, defaults, bool(ladders)))
        for name in draw(st.lists(st.sampled_from(["b", "c", "d"]), unique=True))
    }
    document["wallets"] = {name: text for name, (text, _) in wallets.items()}
    document["budgets"] = {name: text for name, (text, _) in budgets.items()}
    document["downgrade"] = [text for text, _ in ladders]
    rule = draw(st.sampled_from(OutputRule))
    tokens = draw(st.integers(1, 10_000_000))
    if rule is OutputRule.NUMBER:
        document["estimate"] = {"max_output": tokens}
    else:
        document["estimate"] = {"max_output": rule.value, "fallback": tokens}
    return document, Policy(
        "a",
        wallets=tuple(meant for _, meant in wallets.values()),
        budgets=tuple(meant for _, meant in budgets.values()),
        max_output_tokens=tokens,
        output_rule=rule,
        ladders=tuple(meant for _, meant in ladders),
    )


def container(document: Any, path: Path) -> Any:
    """The mapping or list that the last part of the path stands in."""
    for part in path[:-1]:
        document = document[part]
    return document


@settings(max_examples=150, deadline=None)
@given(documents())
def test_a_policy_is_what_was_written(written: Written) -> None:
    document, meant = written
    policy = load_policy(str(Text().write(document)))
    assert policy == meant
    assert ("priority" in policy.dimensions) == any(budget.priorities for budget in meant.budgets)


@settings(max_examples=150, deadline=None)
@given(documents(), st.data())
def test_a_wrong_value_is_refused_on_its_line(written: Written, data: st.DataObject) -> None:
    document, _ = written
    path = data.draw(st.sampled_from(list(Text().write(document).places)), "path")
    container(document, path)[path[-1]] = data.draw(st.sampled_from([None, True, -1, 3.5]), "value")
    text = Text().write(document)
    problems = find_problems(str(text))
    assert [(problem.line, problem.field) for problem in problems] == [(text.places[path], path_text(path))]


WORDS = [
    "5 USD", "7 tokens", "3 requests", "1 concurrent", "25%", "0%", "101%", "rolling 1h", "10m", "day",
    "week", "sunday", "UTC", "alert", "downgrade", "learned", "ceiling", "gpt-5", "gpt-*", "low", "",
]  # fmt: skip
MORE = [{}, [], ["gpt-5"], {"low": "5%"}, {"amount": "1 USD", "every": "day"}]
ANYTHING = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(MORE).map(deepcopy),
    st.integers(),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(documents(), st.data())
def test_a_changed_document_is_a_policy_or_refused_where_it_was_changed(
    written: Written, data: st.DataObject
) -> None:
    document, _ = written
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(Text().write(document).places)), "path")
        if data.draw(st.booleans()):
            container(document, path)[path[-1]] = data.draw(ANYTHING, "value")
        else:
            del container(document, path)[path[-1]]
    if not document:
        return
    text = Text().write(document)
    problems = find_problems(str(text))
    if not problems:
        assert isinstance(load_policy(str(text)), Policy)
        return
    with pytest.raises(InvalidPolicy, match=r"^line \d+, column \d+: .+: expected "):
        load_policy(str(text))
    for problem in problems:
        # what is lacking is told where it should stand
        named = [path for path in text.places if problem.field in (path_text(path), path_text(path[:-1]))]
        assert problem.line in range(1, len(text.lines) + 1)
        assert named or "which is required" in problem.expected, problem
