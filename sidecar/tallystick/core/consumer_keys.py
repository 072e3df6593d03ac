"""Consumer keys: `tally-TENANT-SECRET`. The tenant is in the key; of the secret only a digest is kept."""

import re
import secrets
from hashlib import sha256

from tallystick.core.errors import InvalidArgument
from tallystick.core.subject import TENANT

PREFIX = "tally-"
HASH_PREFIX = "sha256:"

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 43
"""62 ** 43 is more than 2 ** 256."""
_KEY = re.compile(rf"{PREFIX}({TENANT.pattern})-[0-9A-Za-z]{{{_SECRET_LENGTH}}}")
_HASH = re.compile(rf"{HASH_PREFIX}([0-9a-f]{{64}})")


def make_key(tenant: str) -> str:
    """Makes a key of 256 random bits for a consumer of this tenant.

    Raises:
        InvalidArgument: the tenant can't be called so.
    """
    if not TENANT.fullmatch(tenant):
        raise InvalidArgument("tenant", "expected 1 to 64 of [a-z0-9_.-]")
    return f"{PREFIX}{tenant}-{make_secret()}"


def make_secret() -> str:
    """256 random bits, as letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))


def digest_of(key: str) -> bytes:
    """The SHA-256 of a key, 32 bytes; of any text, also of what is no Unicode."""
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


def hash_key(key: str) -> str:
    """The digest as a policy has it: `sha256:` and 64 hexadecimal digits.

    No salt and no slow hash: nobody can try out 256 random bits.
    """
    return HASH_PREFIX + digest_of(key).hex()


def parse_hash(text: str) -> bytes | None:
    """The digest in `sha256:HEX`; None if it is something else."""
    found = _HASH.fullmatch(text)
    return bytes.fromhex(found[1]) if found else None


def tenant_of(key: str) -> str | None:
    """The tenant that a key names; None if it is not of our making."""
    found = _KEY.fullmatch(key)
    return found[1] if found else None


def is_ours(key: str) -> bool:
    """Whether it means to be a key of our making, also if it was cut or mistyped."""
    return key.startswith(PREFIX)


def hide_keys(text: str) -> str:
    """The same text without the secrets of keys of our making, for messages that quote what was written."""
    return _KEY.sub(f"{PREFIX}…", text) if PREFIX in text else text
