"""Page tokens: where a list goes on, sealed, and of use for that list alone."""

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

from tallystick.core.errors import InvalidArgument

PURPOSE = b"page\n"
"""What tells a seal from a tally's: no tenant is followed by this."""
SEAL_BYTES = 16


def seal_place(key: bytes, scope: str, place: str) -> str:
    """The token of a place in a list. `scope` names the list: the method and what it was asked."""
    return urlsafe_b64encode(_seal(key, scope, place.encode()) + place.encode()).decode()


def unseal_place(key: bytes, field: str, scope: str, token: str) -> str:
    """The place in a token.

    Raises:
        InvalidArgument: it was not sealed with the key, or is of another list. `field` is where it stood.
    """
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
        canonical = urlsafe_b64encode(raw).decode() == token
    except (UnicodeEncodeError, binascii.Error):
        raw, canonical = b"", False
    seal, place = raw[:SEAL_BYTES], raw[SEAL_BYTES:]
    if not (canonical and hmac.compare_digest(seal, _seal(key, scope, place))):
        raise InvalidArgument(field, "expected a token that this very list gave, or none to begin")
    return place.decode()


def _seal(key: bytes, scope: str, place: bytes) -> bytes:
    payload = PURPOSE + b"%d\n" % len(scope.encode()) + scope.encode() + place
    return hmac.digest(key, payload, "sha256")[:SEAL_BYTES]
