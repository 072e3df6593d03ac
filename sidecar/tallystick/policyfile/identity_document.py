"""The shape of what a policy document says of callers over HTTP, and of the routes that nobody meters."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from tallystick.policyfile import fields
from tallystick.policyfile import identity_fields as own
from tallystick.policyfile.section import Section


class Consumer(Section):
    """Who a key stands for."""

    key: own.OptionalKeyHash = None
    """The hash of its key, as `tallystick key hash` prints it."""
    keys: Annotated[own.KeyHashes | None, BeforeValidator(fields.no_null)] = None
    """In place of `key`: the hashes of several keys, while one replaces another."""
    subject: own.Subject = Field(default_factory=dict, json_schema_extra=own.BY_DIMENSION)
    """What calls with the key are charged to: values by dimension."""
    disabled: bool = False
    """`true`: calls with the key are refused."""


class Principal(Section):
    """Who a client certificate stands for."""

    match: fields.Patterns
    """A pattern of the principal, or a list of them: its SPIFFE URI, DNS name or subject."""
    subject: own.Subject = Field(json_schema_extra=own.BY_DIMENSION)
    """What its calls are charged to: values by dimension."""


class Anonymous(Section):
    """Calls that bring no identity."""

    subject: own.Subject = Field(json_schema_extra=own.BY_DIMENSION)
    """What they are charged to: values by dimension."""


class Identity(Section):
    """Which sources may name which dimension of the subject. Whatever is not named here has no effect."""

    claims: dict[fields.SubjectDimension, own.Claim] = Field(
        default_factory=dict, json_schema_extra=own.BY_DIMENSION
    )
    """Claims of the JWT that the listener verified, by dimension."""
    headers: dict[fields.SubjectDimension, own.Header] = Field(
        default_factory=dict, json_schema_extra=own.BY_DIMENSION
    )
    """Headers by dimension; each counts only where the listener says that it authenticated it."""
    principals: list[Principal] = Field(default_factory=list)
    """Client certificates; the first whose `match` fits counts."""
    self_declared: dict[fields.SubjectDimension, own.Header] = Field(
        default_factory=dict, json_schema_extra=own.BY_DIMENSION
    )
    """Headers in which clients may say this of themselves, by dimension, where nobody else has said it."""
    anonymous: Annotated[Anonymous | None, BeforeValidator(fields.no_null)] = None
    """Let calls without any identity through, charged to this subject. Default: they are refused."""
    unknown_keys: Literal["deny", "ignore"] = "deny"
    """A key that is neither of our making nor of a consumer: refused, or left for the provider to judge,
    as if it were not there."""


def _unmetered_tag(value: Any) -> str:
    return "<paths>" if isinstance(value, list) else "<word>"


class Routes(Section):
    """Routes of the listener."""

    unmetered: Annotated[
        Annotated[own.Word, Tag("<word>")]
        | Annotated[
            list[own.Route],
            AfterValidator(fields.at_least_one),
            AfterValidator(fields.unique),
            Field(json_schema_extra={"minItems": 1, **fields.UNIQUE}),
            Tag("<paths>"),
        ],
        Discriminator(_unmetered_tag),
    ] = "deny"
    """A route that nobody meters: refused, let through, or let through if its path fits a pattern."""
    without_usage: Annotated[list[fields.Name], AfterValidator(fields.unique)] = Field(
        default_factory=list, json_schema_extra=fields.UNIQUE
    )
    """Providers, by their names in Envoy, whose servers refuse `stream_options.include_usage`: their streams
    are not asked for usage, and charged by their bytes."""


ConsumerOfName = Annotated[Consumer, BeforeValidator(own.check_mapping)]
