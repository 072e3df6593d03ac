"""What changes from one policy to another, in words: what gets tighter, what looser, what else.

Every field is compared, so that no difference is missing; only the version is no part of what a
policy allows. Keys are not told, not even their hashes.
"""

from collections.abc import Iterator

from tallystick.core.budget_differences import (
    budget_differences,
    budget_told,
    wallet_differences,
    wallet_told,
)
from tallystick.core.differences import Difference, Kind, by_name, changed, names_text
from tallystick.core.identity import Consumer, IdentityRules, RouteRules
from tallystick.core.policy import Policy, Unmatched
from tallystick.core.price_differences import ladder_differences, model_differences, price_differences
from tallystick.core.subject import subject_text


def policy_differences(old: Policy, new: Policy) -> list[Difference]:
    """What `new` says otherwise than `old`, in the order of the document's parts."""
    return [
        *price_differences(old.prices, new.prices),
        *model_differences(old.models, new.models),
        *by_name("wallets", old.wallets, new.wallets, wallet_told, wallet_differences),
        *_order("cascade", old.wallets, new.wallets),
        *by_name("budgets", old.budgets, new.budgets, budget_told, budget_differences),
        *_order("budgets", old.budgets, new.budgets),
        *_unmatched(old, new),
        *_of_calls(old, new),
        *ladder_differences(old.ladders, new.ladders),
        *by_name("consumers", old.consumers, new.consumers, _consumer_told, _consumer_differences),
        *_identity(old.identity, new.identity),
        *_routes(old.routes, new.routes),
    ]


def _order(path: str, old: tuple[object, ...], new: tuple[object, ...]) -> Iterator[Difference]:
    """Of wallets it says which pays first; of budgets which one a refusal names."""
    before, after = ([each.name for each in parts] for parts in (old, new))  # type: ignore[attr-defined]
    if set(before) == set(after):
        yield from changed(path, names_text(before), names_text(after))


def _unmatched(old: Policy, new: Policy) -> Iterator[Difference]:
    if old.unmatched is not new.unmatched:
        kind = Kind.LOOSER if new.unmatched is Unmatched.ALLOW else Kind.TIGHTER
        yield Difference(kind, "unmatched", f"{new.unmatched.value} instead of {old.unmatched.value}")


def _of_calls(old: Policy, new: Policy) -> Iterator[Difference]:
    yield from changed("holds.ttl", f"{old.hold_ttl_ms} ms", f"{new.hold_ttl_ms} ms")
    yield from changed("holds.on_expiry", old.on_expiry.name.lower(), new.on_expiry.name.lower())
    yield from changed("holds.on_outgrown", old.on_outgrown.value, new.on_outgrown.value)
    before, after = (f"{p.output_rule.value} ({p.max_output_tokens} tokens)" for p in (old, new))
    yield from changed("estimate.max_output", before, after)


def _consumer_told(consumer: Consumer) -> str:
    off = ", disabled" if consumer.disabled else ""
    keys = len(consumer.digests)
    return f"{keys} key{'' if keys == 1 else 's'}, for {subject_text(consumer.subject) or 'nobody'}{off}"


def _consumer_differences(path: str, old: Consumer, new: Consumer) -> Iterator[Difference]:
    gone = len(set(old.digests) - set(new.digests))
    more = len(set(new.digests) - set(old.digests))
    if gone or more:
        yield Difference(Kind.CHANGED, f"{path}.key", f"{more} more, {gone} gone")
    elif old.digests != new.digests:
        yield Difference(Kind.CHANGED, f"{path}.key", "the same in another order")
    before, after = subject_text(old.subject), subject_text(new.subject)
    yield from changed(f"{path}.subject", before or "nobody", after or "nobody")
    if old.disabled != new.disabled:
        kind = Kind.TIGHTER if new.disabled else Kind.LOOSER
        yield Difference(kind, f"{path}.disabled", f"{new.disabled} instead of {old.disabled}".lower())


def _identity(old: IdentityRules, new: IdentityRules) -> Iterator[Difference]:
    for name in ("claims", "headers", "principals", "self_declared"):
        yield from changed(f"identity.{name}", *(_rows(getattr(each, name)) for each in (old, new)))
    before, after = old.anonymous, new.anonymous
    if before != after:
        told = [subject_text(each) or "nobody" if each is not None else "deny" for each in (before, after)]
        kind = Kind.CHANGED
        if before is None or after is None:
            kind = Kind.TIGHTER if after is None else Kind.LOOSER
        yield Difference(kind, "identity.anonymous", f"{told[1]} instead of {told[0]}")
    ignores = (old.ignore_unknown_keys, new.ignore_unknown_keys)
    yield from changed("identity.ignore_unknown_keys", *(str(each).lower() for each in ignores))


def _rows(rows: tuple[object, ...]) -> str:
    return "; ".join(map(str, rows)) or "nothing"


def _routes(old: RouteRules, new: RouteRules) -> Iterator[Difference]:
    for name in ("unmetered", "without_usage"):
        before, after = (names_text(getattr(each, name)) for each in (old, new))
        yield from changed(f"routes.{name}", before, after)
