"""The values of `consumers`, `identity` and `routes`. What may be a key is never quoted."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema

from tallystick.core.consumer_keys import is_ours, parse_hash
from tallystick.core.identity import CREDENTIAL_HEADERS, Path
from tallystick.core.subject import LABEL_PREFIX, MAX_LABELS
from tallystick.policyfile import fields
from tallystick.policyfile.values import check_pattern, check_value, described, refuse, text_value

MAX_KEYS = 8
MAX_PARTS = 8
HASH_PATTERN = "^sha256:[0-9a-f]{64}$"
HEADER_PATTERN = "^[a-z0-9][a-z0-9_-]{0,63}$"
ROUTE_PATTERN = r"^/[^?\[#]*$"
_UNFIT = (*CREDENTIAL_HEADERS, "cookie", "proxy-authorization")
"""Headers that hold secrets, which no ledger should have."""
_PLACE = re.compile(r"0|[1-9][0-9]{0,5}")


def check_hash(value: Any) -> bytes:
    """Take the hash of a key for its digest."""
    digest = parse_hash(value) if isinstance(value, str) else None
    if digest is None:
        own = isinstance(value, str) and is_ours(value)
        refuse(
            "expected the hash of the key, as `tallystick key hash` prints it: `sha256:` and 64 of [0-9a-f]"
            + (", not the key, which too many have seen now: make another one" if own else "")
        )
    return digest


def check_mapping(value: Any) -> Any:
    """Refuse text where a mapping is expected, without quoting it: it might be a key."""
    return refuse("expected a mapping, got text") if isinstance(value, str) else value


def check_labels(subject: dict[str, str]) -> dict[str, str]:
    """Refuse more labels than a subject can have."""
    count = sum(name.startswith(LABEL_PREFIX) for name in subject)
    if count > MAX_LABELS:
        refuse(f"expected at most {MAX_LABELS} labels, got {count}")
    return subject


def check_header(value: Any) -> str:
    """Take the name of a header that may name a dimension."""
    text = text_value(value)
    if not re.fullmatch(HEADER_PATTERN[1:-1], text):
        refuse(f"expected a header's name in lower case, such as x-auth-user, got {described(value)}")
    if text in _UNFIT:
        refuse(f"expected a header that holds no secret, got `{text}`")
    return text


def parse_claim(value: Any) -> Path:
    """Read `email`, `groups.0`, or a list of names and places for names that have dots."""
    if isinstance(value, str):
        parts = [int(part) if _PLACE.fullmatch(part) else part for part in value.split(".")]
    else:
        parts = value if isinstance(value, list) else []
    if not 1 <= len(parts) <= MAX_PARTS or not all(map(_is_part, parts)):
        refuse(
            "expected a claim, such as `email` or `groups.0`, or a list of at most "
            f'{MAX_PARTS} names and places, such as ["https://acme.example/team"], got {described(value)}'
        )
    for part in parts:
        if isinstance(part, str):
            check_value(part)
    return tuple(parts)


def _is_part(part: Any) -> bool:
    if isinstance(part, str):
        return part != ""
    return isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= 999_999


def check_route(value: Any) -> str:
    """Take a path or a pattern of one."""
    text = check_pattern(value)
    if not re.fullmatch(ROUTE_PATTERN[1:-1], text):
        refuse(f"expected a path that begins with `/`, with * as its only wildcard, got {described(value)}")
    return text


def check_word(value: Any) -> str:
    """Take a word for all unmetered routes."""
    if value not in ("deny", "allow"):
        refuse(f"expected deny, allow or a list of paths, got {described(value)}")
    return str(value)


_HASH_SCHEMA: dict[str, Any] = {"type": "string", "pattern": HASH_PATTERN}
_HASHES_SCHEMA = {
    "type": "array", "items": _HASH_SCHEMA, "minItems": 1, "maxItems": MAX_KEYS, "uniqueItems": True
}  # fmt: skip
_PLACE_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 999_999}
_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 256}
_PATH_SCHEMA = {
    "type": "array", "items": {"anyOf": [_NAME_SCHEMA, _PLACE_SCHEMA]}, "minItems": 1, "maxItems": MAX_PARTS
}  # fmt: skip
BY_DIMENSION: dict[str, Any] = {"propertyNames": fields.SUBJECT_DIMENSION_NAMES}

KeyHash = Annotated[bytes, PlainValidator(check_hash), WithJsonSchema(_HASH_SCHEMA)]
OptionalKeyHash = Annotated[bytes | None, PlainValidator(check_hash), WithJsonSchema(_HASH_SCHEMA)]
KeyHashes = Annotated[
    list[KeyHash],
    BeforeValidator(fields.listed),
    AfterValidator(fields.up_to(MAX_KEYS)),
    WithJsonSchema({"anyOf": [_HASH_SCHEMA, _HASHES_SCHEMA]}),
]
Subject = Annotated[dict[fields.SubjectDimension, fields.Value], AfterValidator(check_labels)]
Header = Annotated[
    str, PlainValidator(check_header), fields.text_schema(HEADER_PATTERN, "x-auth-user", "x-session-id")
]
Claim = Annotated[
    Path,
    PlainValidator(parse_claim),
    WithJsonSchema({"anyOf": [_NAME_SCHEMA, _PATH_SCHEMA], "examples": ["email", "groups.0"]}),
]
Word = Annotated[str, PlainValidator(check_word), WithJsonSchema({"enum": ["deny", "allow"]})]
Route = Annotated[str, PlainValidator(check_route), fields.text_schema(ROUTE_PATTERN, "/v1/files*")]
