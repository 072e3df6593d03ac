"""Untrusted JSON, read strictly: whatever is wrong is an InvalidArgument that never quotes the body."""

import json
from typing import Any, NamedTuple

from tallystick.core.errors import InvalidArgument

MAX_BODY_BYTES = 16 * 2**20
MAX_MODEL_CHARACTERS = 256


class _UnclearError(ValueError):
    """JSON that two parsers may read differently."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys wins: we might count one and the provider the other.
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _UnclearError
    return fields


def _constant(_name: str) -> Any:
    raise _UnclearError


strict_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
"""Raises ValueError for what `decode` refuses, and RecursionError."""


def decode(body: bytes, field: str) -> Any:
    """Read JSON of at most 16 MiB.

    Raises:
        InvalidArgument: of `field`: too long, not UTF-8, not JSON, NaN, a key twice, nested too deeply.

    """
    if len(body) > MAX_BODY_BYTES:
        raise InvalidArgument(field, f"at most {MAX_BODY_BYTES} bytes")
    try:
        return strict_decoder.decode(body.decode())
    except RecursionError:
        raise InvalidArgument(field, "JSON that is nested less deeply") from None
    except ValueError:
        raise InvalidArgument(field, "JSON in UTF-8, with no key twice and no NaN") from None


class Fields(NamedTuple):
    """A JSON object and where it stands. Every getter treats `null` as absent."""

    values: dict[str, Any]
    path: str

    def at(self, name: str) -> str:
        """Name the path of a field. `name` must not come from the body."""
        return f"{self.path}.{name}"

    def wrong(self, name: str, expected: str) -> InvalidArgument:
        """Make the error that this field is not what was expected."""
        return InvalidArgument(self.at(name), expected)

    def text(self, name: str) -> str | None:
        """Get a string. Raises InvalidArgument for anything else, and for lone surrogates."""
        value = self.values.get(name)
        if value is None or (type(value) is str and value.isascii()):
            return value
        return checked_text(value, self.at(name))

    def integer(self, name: str, most: int, least: int = 0) -> int | None:
        """Get an integer from `least` to `most`. Raises InvalidArgument for anything else."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:  # a bool is an int
            raise self.wrong(name, f"an integer from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """Get a boolean, false where absent. Raises InvalidArgument for anything else."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return bool(value)

    def items(self, name: str) -> list[Any]:
        """Get an array, empty where absent. Raises InvalidArgument for anything else."""
        value = self.values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, "an array")
        return value

    def child(self, name: str) -> "Fields | None":
        """Get an object. Raises InvalidArgument for anything else."""
        value = self.values.get(name)
        return None if value is None else object_at(value, self.at(name))


def object_at(value: object, path: str) -> Fields:
    """Take a value for an object. Raises InvalidArgument if it is none."""
    if not isinstance(value, dict):
        raise InvalidArgument(path, "an object")
    return Fields(value, path)


def checked_text(value: object, path: str) -> str:
    """Take a value for text that UTF-8 can carry. Raises InvalidArgument if it is none."""
    if not isinstance(value, str):
        raise InvalidArgument(path, "a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(path, "text without lone surrogates") from None
    return value


def model_of(fields: Fields, named: str = "") -> str:
    """Get the model's name: the body's, else the one that was `named` besides.

    Raises InvalidArgument if there is none, or it is too long or not printable.
    """
    model = fields.text("model") or named
    if not model or len(model) > MAX_MODEL_CHARACTERS or not model.isprintable():
        raise fields.wrong("model", f"a printable name of 1 to {MAX_MODEL_CHARACTERS} characters")
    return model


def path_model(named: str) -> str:
    """Check the model of an API whose path names it. Raises InvalidArgument of `model`."""
    if not named or len(named) > MAX_MODEL_CHARACTERS or not named.isprintable():
        expected = f"the model that the path names, 1 to {MAX_MODEL_CHARACTERS} printable characters"
        raise InvalidArgument("model", expected)
    return named
