"""A hold's record, and the tally sealed from it.

The record is the text that the store keeps (`store/lua/_hold.lua` says what
stands where). The tally is the same text as it was when the hold was made,
with its tenant and id, under an HMAC-SHA256 of the key that all sidecars
share: whoever brings it back proves that this hold was allowed, and on what
counters, even to a store that lost it.
"""

import hmac
from dataclasses import dataclass
from enum import StrEnum

from tallystick.core.errors import InvalidArgument
from tallystick.core.plan import Plan
from tallystick.core.policy import DEFAULT_ALERTS, OnExpiry, Unit
from tallystick.core.price import Price, unpack_price

SEAL_BYTES = 16
TALLY_VERSION = b"\x01"
MAX_TALLY_BYTES = 65_536
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
    limit: int
    rank: int
    end: str


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
    answer: str = ""
    body: str = ""

    def text(self) -> str:
        """The record as the store keeps it."""
        head = (
            f"{self.state}\t{self.expires_ms}\t{self.nano_usd}\t{self.tokens}\t{self.charged_nano_usd}"
            f"\t{self.charged_tokens}\t{self.charged_requests}\t{self.ended_as}"
        )
        return f"{head}\n{self.answer}\n{self.body}"

    @property
    def answered(self) -> list[str]:
        """What stands in the line of the answer."""
        return self.answer.split("\t")

    @property
    def content(self) -> str:
        """The content of the Reserve."""
        return self.answered[0]

    @property
    def ttl_ms(self) -> int:
        """How long the Reserve held it."""
        return int(self.answered[6]) - int(self.answered[1])

    @property
    def wallet(self) -> tuple[str, Unit] | None:
        """Counter and unit of the wallet that pays."""
        answered = self.answered
        return (answered[2], Unit(answered[3])) if len(answered) > 3 and answered[2] else None

    @property
    def on_expiry(self) -> OnExpiry:
        """What happens when nobody settles."""
        return OnExpiry(self.body.split("\n", 1)[0])

    @property
    def budgets(self) -> list[HeldBudget]:
        """The budgets that it counts in."""
        cells = self.body.split("\n", 2)[1].split("\t")
        return [
            HeldBudget(cells[i], Unit(cells[i + 1]), int(cells[i + 2]), int(cells[i + 3]), cells[i + 4])
            for i in range(0, len(cells) - 4, 5)
        ]

    @property
    def model(self) -> str:
        """The model to use."""
        return self.body.split("\n")[2]

    @property
    def price(self) -> Price | None:
        """The price that the hold was made at."""
        packed = self.body.split("\n")[3]
        return unpack_price(packed) if packed else None

    @property
    def subject(self) -> str:
        """Who spends, as `core.subject.subject_text` wrote it."""
        return self.body.split("\n")[4]

    @property
    def alerts(self) -> list[tuple[int, ...]]:
        """The thresholds of each budget, in percent."""
        lines = self.body.split("\n")
        if len(lines) < 6:
            return [DEFAULT_ALERTS] * len(self.budgets)
        return [tuple(map(int, cell.split(","))) if cell else () for cell in lines[5].split("\t")]


def read_hold(text: str) -> Hold:
    """The inverse of `Hold.text`."""
    head, answer, body = text.split("\n", 2)
    state, expires, nano, tokens, charged_nano, charged_tokens, requests, ended_as = head.split("\t")
    return Hold(
        State(state),
        int(expires),
        int(nano),
        int(tokens),
        int(charged_nano),
        int(charged_tokens),
        int(requests),
        ended_as,
        answer,
        body,
    )


def price_in(record: str) -> Price | None:
    """The price in a record's text, found without reading the rest."""
    packed = record.split("\n", 6)[5]
    return unpack_price(packed) if packed else None


def hold_body(plan: Plan, subject_text: str) -> str:
    """The body of a record: what never changes."""
    return plan.body_head + subject_text + plan.body_tail


def tally_record(
    *, content: str, reserved_ms: int, wallet: str, nano_usd: int, tokens: int, expires_ms: int, body: str
) -> str:
    """The record of a hold as it was made, for its tally. `wallet`: counter, a tab, unit."""
    return (
        f"O\t{expires_ms}\t{nano_usd}\t{tokens}\t0\t0\t0\t\n"
        f"{content}\t{reserved_ms}\t{wallet}\t{nano_usd}\t{tokens}\t{expires_ms}\n{body}"
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
