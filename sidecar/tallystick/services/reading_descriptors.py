"""From a rate limit request of Envoy to what its descriptors take."""

import re
from typing import Any

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.policy import Unit
from tallystick.core.subject import (
    CALL_DIMENSIONS,
    DIMENSIONS,
    LABEL_NAME,
    TENANT,
    Subject,
    check_subject,
    check_text,
)
from tallystick.engine.calls import HitKind, Hits

UNITS = {"requests": Unit.REQUESTS, "tokens": Unit.TOKENS, "nano_usd": Unit.NANO_USD}
REPORTS = {"true": HitKind.REPORT, "false": HitKind.CHECK}
MOST_DESCRIPTORS = 32
NOT_OF_A_NAME = re.compile(r"[^a-z0-9_.-]")
MOST_OF_A_NAME = 64
"""Characters of a label's name."""


class DescriptorReader:
    """Reads requests.

    `tenant` is for domains that are not a tenant's name, and may be empty; `unit` for hits
    whose descriptor does not say what they are.
    """

    def __init__(self, tenant: str, unit: str) -> None:
        self._tenant = tenant
        self._unit = unit

    def read(self, request: Any) -> tuple[str, list[Hits]]:
        """The tenant, and what each descriptor takes. Raises InvalidArgument."""
        tenant = request.domain if TENANT.fullmatch(request.domain) else self._tenant
        if not tenant:
            raise InvalidArgument("domain", "expected a tenant's name: 1 to 64 of [a-z0-9_.-]")
        if not 1 <= len(request.descriptors) <= MOST_DESCRIPTORS:
            raise InvalidArgument("descriptors", f"expected 1 to {MOST_DESCRIPTORS}")
        found = []
        for i, descriptor in enumerate(request.descriptors):
            place, amount = f"descriptors[{i}]", request.hits_addend or None
            if descriptor.HasField("hits_addend"):
                amount = descriptor.hits_addend.value
            if amount is not None and amount > MAX_AMOUNT:
                raise InvalidArgument(f"{place}.hits_addend", "expected at most 2^63 - 1")
            found.append(self._hits(place, _entries(place, descriptor.entries), amount))
        return tenant, found

    def _hits(self, place: str, entries: dict[str, str], amount: int | None) -> Hits:
        """`amount`: None where none is given, which is one request."""
        unit = entries.pop("unit", "requests" if amount is None else self._unit)
        if unit not in UNITS:
            raise InvalidArgument(f"{place}.unit", "expected one of " + ", ".join(UNITS))
        report = entries.pop("report", "")
        if report and report not in REPORTS:
            raise InvalidArgument(f"{place}.report", "expected true or false")
        amount = 1 if amount is None else amount
        kind = HitKind.CHECK
        if amount:
            kind = REPORTS.get(report, HitKind.CHECK if unit == "requests" else HitKind.EITHER)
        model, provider = (entries.pop(name, "") for name in CALL_DIMENSIONS)
        check_text(f"{place}.model", model)
        check_text(f"{place}.provider", provider)
        return Hits(_subject(place, entries), model, provider, UNITS[unit], amount, kind)


def label_name(key: str) -> str:
    """The label of a key; Envoy Gateway names some after the path of a route."""
    return key if LABEL_NAME.fullmatch(key) else NOT_OF_A_NAME.sub("_", key.lower())[:MOST_OF_A_NAME]


def _entries(place: str, entries: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries:
        if entry.key in found:
            raise InvalidArgument(f"{place}.{entry.key}", "expected once; give it another descriptor_key")
        found[entry.key] = entry.value
    return found


def _subject(place: str, entries: dict[str, str]) -> Subject:
    """Dimensions by their names; every other entry is a label."""
    values = {name: entries.pop(name) for name in DIMENSIONS if name in entries}
    labels: dict[str, str] = {}
    for key, value in entries.items():
        name = label_name(key)
        if name in labels:
            raise InvalidArgument(f"{place}.{name}", "expected one entry of this label; give one another key")
        if value:
            labels[name] = value
    subject = Subject(**values, labels=tuple(sorted(labels.items())))
    try:
        check_subject(subject)
    except InvalidArgument as error:
        raise InvalidArgument(f"{place}.{error.field}", error.expected) from error
    return subject
