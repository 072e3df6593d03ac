"""What must hold between the parts of `consumers` and `identity`."""

from collections.abc import Iterator

from tallystick.policyfile.identity_document import Consumer, Identity
from tallystick.policyfile.tree import short

Broken = tuple[tuple[str | int, ...], str]
"""(path in the document, what was expected)."""


def broken_identity(consumers: dict[str, Consumer], identity: Identity) -> Iterator[Broken]:
    """Find every rule that they break."""
    owners: dict[bytes, str] = {}
    for name, consumer in consumers.items():
        if consumer.key is None and consumer.keys is None:
            yield ("consumers", name), "expected `key` or `keys`: a consumer is known by its key"
        if consumer.key is not None and consumer.keys is not None:
            yield ("consumers", name, "keys"), "expected `key` or `keys`, got both"
        for place, digest in _digests(consumer):
            owner = owners.setdefault(digest, name)
            if owner != name:
                yield ("consumers", name, *place), f"expected a key of its own, got that of {short(owner)}"
        if consumer.keys and len(set(consumer.keys)) < len(consumer.keys):
            yield ("consumers", name, "keys"), "expected each key once"
    authenticated = {header: dimension for dimension, header in identity.headers.items()}
    for dimension, header in identity.self_declared.items():
        if header in authenticated:
            other = f"identity.headers.{authenticated[header]}"
            expected = f"expected another header than {other}, which clients must not be able to set"
            yield ("identity", "self_declared", dimension), expected


def _digests(consumer: Consumer) -> Iterator[tuple[tuple[str | int, ...], bytes]]:
    if consumer.key is not None:
        yield ("key",), consumer.key
    for index, digest in enumerate(consumer.keys or ()):
        yield ("keys", index), digest
