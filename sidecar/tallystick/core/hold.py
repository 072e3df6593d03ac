"""A hold's record, and the tally sealed from it.

The record is the text that the store keeps (`store/lua/_hold.lua` says what
stands where): lines of JSON, in which amounts are texts. The tally is the
same text as it was when the hold was made, with its tenant and id, under an
HMAC-SHA256 of the key that all sidecars share: whoever brings it back proves
that this hold was allowed, and on what counters, even to a store that lost it.
"""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from tallystick.core.errors import InvalidArgument
from tallystick.core.lots import Lot, lots_cells, lots_of
from tallystick.core.packing import compact, quoted
from tallystick.core.plan import Plan
from tallystick.core.policy import DEFAULT_ALERTS, OnExpiry, Unit
from tallystick.core.price import Price, unpack_price
from tallystick.core.reasons import Reason
from tallystick.core.subject import value_in

SEAL_BYTES = 16
TALLY_VERSION = b"\x02"
MAX_TALLY_BYTES = 65_536
EMPTY = "[]"
OF_A_CHARGE = 4
"""How much the answer of a charge without a hold tells."""
LATE = " late"
"""Follows the content of a Settle that came after the hold had ended, for the same answer again."""


class State(StrEnum):
    """The states of a hold; the value is its code in the store."""

    OPEN = "O"
    EXPIRED = "X"
    ESTIMATED = "E"
    SETTLED = "S"
    RELEASED = "R"
    REFUSED = "T"
    """Released before it was known."""
    LOST = "L"
    """Known by its tally only; never stored."""


@dataclass(frozen=True, slots=True)
class HeldBudget:
    """A budget that a hold counts in."""

    counter: str
    unit: Unit
    ceiling: int
    rank: Reason
    end: str
    limit: int
    alerts: tuple[int, ...]


@dataclass(slots=True)
class Hold:
    """A hold's record."""

    state: State
    expires_ms: int
    nano_usd: int
    tokens: int
    charged_nano_usd: int = 0
    charged_tokens: int = 0
    charged_requests: int = 0
    ended_as: str = ""
    """The content of the Settle that ended it."""
    drawn: list[Lot] = field(default_factory=list)
    """What was drawn from which lots, for what is charged."""
    answer: str = EMPTY
    body: str = EMPTY

    def text(self) -> str:
        """The record as the store keeps it."""
        head = [
            *(self.state, self.expires_ms, str(self.nano_usd), str(self.tokens)),
            *(str(self.charged_nano_usd), str(self.charged_tokens), str(self.charged_requests)),
            *(self.ended_as, lots_cells(self.drawn) or ""),
        ]
        return f"{compact(head)}\n{self.answer}\n{self.body}"

    @property
    def empty(self) -> bool:
        """Whether nothing is known of it: it was released before it was reserved."""
        return self.body == EMPTY

    @property
    def answered(self) -> list[Any]:
        """What stands in the line of the answer."""
        found: list[Any] = json.loads(self.answer)
        return found

    @property
    def content(self) -> str:
        """The content of the Reserve."""
        return str(self.answered[0])

    @property
    def was_reserved(self) -> bool:
        """Whether anything was held: the record of a charge without a hold tells no expiry."""
        return len(self.answered) > OF_A_CHARGE

    @property
    def reserved_ms(self) -> int:
        """When it was reserved."""
        return int(self.answered[1])

    @property
    def ttl_ms(self) -> int:
        """How long the Reserve held it."""
        answered = self.answered
        return int(answered[6]) - int(answered[1])

    @property
    def wallet(self) -> tuple[str, Unit] | None:
        """Counter and unit of the wallet that pays."""
        answered = self.answered
        return (answered[2], Unit(answered[3])) if len(answered) > 3 and answered[2] else None

    @property
    def parts(self) -> list[Any]:
        """What stands in the body."""
        found: list[Any] = json.loads(self.body)
        return found

    @property
    def on_expiry(self) -> OnExpiry:
        """What happens when nobody settles."""
        return OnExpiry(self.parts[0])

    @property
    def budgets(self) -> list[HeldBudget]:
        """The budgets that it counts in."""
        return [_budget(cells) for cells in self.parts[1]] if not self.empty else []

    @property
    def model(self) -> str:
        """The model to use."""
        return str(self.parts[2])

    @property
    def price(self) -> Price | None:
        """The price that the hold was made at."""
        packed = self.parts[3]
        return unpack_price(packed) if packed else None

    @property
    def subject(self) -> str:
        """Who spends, as `core.subject.subject_text` wrote it."""
        return str(self.parts[4])

    @property
    def subject_values(self) -> dict[str, str]:
        """Who spends, by dimension."""
        pairs = (pair.partition("=") for pair in self.subject.split("\t") if pair)
        return {name: value for name, _, value in pairs}

    @property
    def asked_model(self) -> str:
        """The model that was asked for."""
        return str(self.parts[5])


def _budget(cells: Sequence[Any]) -> HeldBudget:
    counter, unit, ceiling, rank, end, *unusual = cells
    limit = unusual[0] if unusual else ceiling
    alerts = tuple(unusual[1]) if len(unusual) > 1 else DEFAULT_ALERTS
    return HeldBudget(counter, Unit(unit), int(ceiling), Reason(rank), end, int(limit), alerts)


def read_hold(text: str) -> Hold:
    """The inverse of `Hold.text`."""
    head, answer, body = text.split("\n", 2)
    state, expires, nano, tokens, charged_nano, charged_tokens, requests, ended_as, drawn = json.loads(head)
    return Hold(
        State(state),
        int(expires),
        int(nano),
        int(tokens),
        int(charged_nano),
        int(charged_tokens),
        int(requests),
        ended_as,
        lots_of(drawn or ()),
        answer,
        body,
    )


class Terms(NamedTuple):
    """What of a record a Settle goes by."""

    model: str
    price: Price | None
    workflow: str

    @property
    def free(self) -> bool:
        """Whether the policy had declared the model free."""
        return self.price is not None and self.price.free


def terms_of(record: str) -> Terms:
    """The terms in a record's text."""
    return _terms(record.split("\n", 2)[2])


@lru_cache(maxsize=8192)
def _terms(body: str) -> Terms:
    """The same few subjects and models come again and again."""
    _, _, model, packed, subject, _ = json.loads(body)
    return Terms(model, unpack_price(packed) if packed else None, value_in(subject, "workflow"))


def hold_body(plan: Plan, subject_text: str) -> str:
    """The body of a record: what never changes."""
    return plan.body_head + quoted(subject_text) + plan.body_parts[3]


def tally_record(
    *, content: str, reserved_ms: int, wallet: str, nano_usd: int, tokens: int, expires_ms: int, body: str
) -> str:
    """The record of a hold as it was made, for its tally. `wallet`: counter and unit as in JSON."""
    return (
        f'["O",{expires_ms},"{nano_usd}","{tokens}","0","0","0","",""]\n'
        f'["{content}",{reserved_ms},{wallet},"{nano_usd}","{tokens}",{expires_ms}]\n{body}'
    )


def seal(key: bytes, tenant: str, reservation_id: str, record: str) -> bytes:
    """The tally of a hold."""
    payload = f"{tenant}\n{reservation_id}\n{record}".encode()
    return TALLY_VERSION + hmac.digest(key, payload, "sha256")[:SEAL_BYTES] + payload


def unseal(key: bytes, tenant: str, reservation_id: str, tally: bytes) -> str:
    """The record in a tally.

    Raises:
        InvalidArgument: it is not of this reservation, or not sealed with the key.
    """
    mac, payload = tally[1 : 1 + SEAL_BYTES], tally[1 + SEAL_BYTES :]
    genuine = tally[:1] == TALLY_VERSION and hmac.compare_digest(
        mac, hmac.digest(key, payload, "sha256")[:SEAL_BYTES]
    )
    if not genuine:
        raise InvalidArgument("tally", "expected the tally as it came with the ALLOW; this one was altered")
    owner, of_id, record = payload.decode().split("\n", 2)
    if (owner, of_id) != (tenant, reservation_id):
        raise InvalidArgument(
            "tally", "expected the tally of this tenant's reservation; this one is of another"
        )
    return record
