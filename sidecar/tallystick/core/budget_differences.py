"""What two policies say of budgets and wallets, in words."""

from collections.abc import Iterator

from tallystick.core.decision import UNIT_NAMES, amount_text
from tallystick.core.differences import Difference, Kind, by_amount, changed, names_text
from tallystick.core.policy import WITHOUT_BOUND, Budget, Grant, Match, OnExhausted, Unit, WalletTemplate
from tallystick.core.windows import Window

ANEW = "; it counts from 0 anew"
WHOLE = 100
"""Percent of the limit that a priority has which is not named."""
_LENIENCE = (OnExhausted.DENY, OnExhausted.TICKET, OnExhausted.DOWNGRADE, OnExhausted.ALERT)
"""What happens to a call that has no room: the strictest first."""


def budget_told(budget: Budget) -> str:
    """A budget in one line."""
    per = f" for each {', '.join(budget.per)}" if budget.per else ""
    window = "" if budget.unit is Unit.CONCURRENT else f", window {window_told(budget.window)}"
    match = f", of {match_told(budget.match)}" if budget.match.patterns else ""
    return f"{amount_text(budget.limit, budget.unit)}{per}{window}{match}"


def window_told(window: Window) -> str:
    """A window as the policy names it, with the time zone and the day where they count."""
    zone = f" in {window.zone}" if window.zone != "UTC" else ""
    start = f", from day {window.week_start + 1} of the week" if window.week_start else ""
    return f"{window.text()}{zone}{start}"


def match_told(match: Match) -> str:
    """Which calls a budget is about: `environment=dev|ci`."""
    return ", ".join(f"{dimension}={'|'.join(each)}" for dimension, each in match.patterns) or "all calls"


def budget_differences(path: str, old: Budget, new: Budget) -> Iterator[Difference]:
    """What is said otherwise of a budget."""

    def amount(value: int) -> str:
        return amount_text(value, new.unit)

    if old.unit is not new.unit:
        before, after = amount_text(old.limit, old.unit), amount_text(new.limit, new.unit)
        yield from changed(f"{path}.limit", before, after, ANEW)
    else:
        yield from by_amount(f"{path}.limit", old.limit, new.limit, amount)
        yield from by_amount(f"{path}.overage", old.overage, new.overage, amount)
    if old.unit is not new.unit and old.overage != new.overage:
        before, after = amount_text(old.overage, old.unit), amount_text(new.overage, new.unit)
        yield from changed(f"{path}.overage", before, after)
    yield from changed(f"{path}.window", window_told(old.window), window_told(new.window), ANEW)
    yield from changed(f"{path}.per", names_text(old.per), names_text(new.per), ANEW)
    yield from changed(f"{path}.match", match_told(old.match), match_told(new.match))
    yield from _on_exhausted(path, old, new)
    yield from _priorities(path, dict(old.priorities), dict(new.priorities))
    yield from changed(f"{path}.alerts", _percents(old.alerts), _percents(new.alerts))
    yield from _store_away(path, old, new)


def _on_exhausted(path: str, old: Budget, new: Budget) -> Iterator[Difference]:
    before, after = (_LENIENCE.index(each.on_exhausted) for each in (old, new))
    yield from by_amount(f"{path}.on_exhausted", before, after, lambda rank: _LENIENCE[rank].value)


def _priorities(path: str, old: dict[str, int], new: dict[str, int]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        place = f"{path}.priorities.{name}"
        if before == after:
            continue
        if (before or WHOLE) == (after or WHOLE) and 0 not in (before, after):
            yield from changed(place, _share(before), _share(after))
        else:
            first, second = (WHOLE if each is None else each for each in (before, after))
            yield from by_amount(place, first, second, lambda share: f"{share}% of the limit")


def _share(percent: int | None) -> str:
    return "the whole limit" if percent is None else f"{percent}% of the limit"


def _percents(alerts: tuple[int, ...]) -> str:
    return names_text([f"{percent}%" for percent in alerts])


def _store_away(path: str, old: Budget, new: Budget) -> Iterator[Difference]:
    place, before, after = f"{path}.store_away", old.store_away, new.store_away
    if old.unit is not new.unit or None in (before, after):
        yield from changed(place, _away_told(old), _away_told(new))
    else:
        yield from by_amount(place, before or 0, after or 0, lambda amount: _away_told(new, amount))


def _away_told(budget: Budget, amount: int | None = None) -> str:
    amount = budget.store_away if amount is None else amount
    if amount is None:
        return "what follows from the rest"
    if amount in (0, WITHOUT_BOUND):
        return "allow" if amount else "deny"
    return f"an allowance of {amount_text(amount, budget.unit)}"


def wallet_told(wallet: WalletTemplate) -> str:
    """A wallet in one line."""
    per = f" for each {', '.join(wallet.per)}" if wallet.per else ""
    grant = f", granted {_grant_told(wallet.grant, wallet.unit)}" if wallet.grant else ""
    return f"in {UNIT_NAMES[wallet.unit]}{per}{grant}"


def wallet_differences(path: str, old: WalletTemplate, new: WalletTemplate) -> Iterator[Difference]:
    """What is said otherwise of a wallet."""
    others = "; wallets of before keep their funds, and pay for nothing"
    yield from changed(f"{path}.unit", UNIT_NAMES[old.unit], UNIT_NAMES[new.unit], others)
    yield from changed(f"{path}.per", names_text(old.per), names_text(new.per), others)
    place, before, after = f"{path}.grant", old.grant, new.grant
    if before is None and after is not None:
        yield Difference(Kind.NEW, place, _grant_told(after, new.unit))
    elif before is not None and after is None:
        yield Difference(Kind.GONE, place, _grant_told(before, old.unit))
    elif before is not None and after is not None:
        yield from _grant_differences(place, (before, old.unit), (after, new.unit))


def _grant_differences(place: str, old: tuple[Grant, Unit], new: tuple[Grant, Unit]) -> Iterator[Difference]:
    (before, unit), (after, new_unit) = old, new
    if unit is not new_unit or before.every != after.every:
        yield from changed(place, _grant_told(before, unit), _grant_told(after, new_unit))
        return

    def amount(value: int) -> str:
        return amount_text(value, unit)

    yield from by_amount(f"{place}.amount", before.amount, after.amount, amount)
    yield from by_amount(f"{place}.rollover", before.rollover, after.rollover, amount)


def _grant_told(grant: Grant, unit: Unit) -> str:
    rollover = f", of which {amount_text(grant.rollover, unit)} roll over" if grant.rollover else ""
    return f"{amount_text(grant.amount, unit)} every {window_told(grant.every)}{rollover}"
