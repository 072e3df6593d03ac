"""`tallystick key`: the keys by which consumers are known."""

import sys
from dataclasses import fields
from getpass import getpass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.connection import admin_service
from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.options import AdminConnection, Json, SubjectOptions, Tenant, read_pairs
from tallystick.cli.output import print_json

if TYPE_CHECKING:
    from tallystick.v1 import admin_pb2

ONCE = "The key is shown this once: give it to the client, and keep it nowhere else."


def create(
    *,
    tenant: Tenant,
    consumer: Annotated[
        str, typer.Argument(metavar="CONSUMER", help="Its name in the policy.", show_default=False)
    ],
    subject: SubjectOptions,
    apply: Annotated[
        bool, typer.Option("--apply", help="Add the consumer to the policy in force, by the admin service.")
    ] = False,
    connection: AdminConnection,
) -> None:
    """Make a key for a consumer, and show it once.

    The policy has only its hash: without --apply, the line to put under its consumers is printed.
    """
    from tallystick.core.consumer_keys import hash_key, make_key
    from tallystick.policyfile.add_consumer import consumer_line

    values = _values(consumer, subject)
    key = _checked(make_key, tenant)
    line = consumer_line(consumer, hash_key(key), values)
    document: dict[str, Any] = {"tenant": tenant, "consumer": consumer, "key": key, "hash": hash_key(key)}
    if apply:
        applied = _apply(tenant, consumer, hash_key(key), values, connection)
        document["version"] = applied.version
        said = f"{tenant}: version {applied.version} is in force, with consumer {consumer}"
    else:
        document["line"] = line
        said = f"For the policy of tenant {tenant}, under consumers:\n  {line}"
    if connection.as_json:
        print_json(document)
    else:
        sys.stdout.write(f"{key}\n\n{ONCE}\n{said}\n")


def key_hash(
    *,
    # Taken here, since typer would quote it.
    given: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="< FILE")] = None,
    as_json: Json = False,
) -> None:
    """Print the hash of a key that standard input has, as a policy has it.

    Never give a key as an argument: others see it in the list of processes, and the shell remembers it.
    """
    from tallystick.core.consumer_keys import hash_key, is_ours, tenant_of

    if given:
        raise CommandError(ExitCode.USAGE, "expected the key on standard input: arguments are seen by others")
    key = (getpass("Key: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not key or len(key.split()) > 1 or not key.isprintable():
        raise CommandError(ExitCode.REFUSED, "expected one key on standard input, without spaces")
    if is_ours(key) and tenant_of(key) is None:
        raise CommandError(
            ExitCode.REFUSED, "expected the whole key, tally-TENANT-SECRET; some of it is missing"
        )
    if as_json:
        print_json({"hash": hash_key(key), "tenant": tenant_of(key) or ""})
    else:
        sys.stdout.write(hash_key(key) + "\n")


def _values(consumer: str, subject: SubjectOptions) -> dict[str, str]:
    """The subject by dimension, checked with the consumer's name."""
    from pydantic_core import PydanticCustomError

    from tallystick.core.identity import subject_from
    from tallystick.core.subject import LABEL_PREFIX, check_subject
    from tallystick.policyfile.values import check_name

    try:
        check_name(consumer)
    except PydanticCustomError as error:
        raise CommandError(ExitCode.USAGE, f"CONSUMER: {error}".replace("`", "'")) from None
    given = {each.name: getattr(subject, each.name) for each in fields(subject) if each.name != "label"}
    given |= {f"{LABEL_PREFIX}{name}": v for name, v in read_pairs("--label", subject.label).items()}
    values = {name: v for name, v in given.items() if v}
    _checked(check_subject, subject_from(values))
    return values


def _checked(function: Any, given: Any) -> Any:
    from tallystick.core.errors import InvalidArgument

    try:
        return function(given)
    except InvalidArgument as error:
        raise CommandError(ExitCode.REFUSED, str(error)) from None


def _apply(
    tenant: str, consumer: str, hashed: str, values: dict[str, str], connection: AdminConnection
) -> "admin_pb2.ApplyPolicyResponse":
    """Put the policy in force with a consumer more, unless another one was applied meanwhile."""
    from tallystick.core.errors import InvalidPolicy
    from tallystick.policyfile.add_consumer import add_consumer
    from tallystick.v1 import admin_pb2

    with admin_service(connection) as service:
        found = service.GetPolicy(admin_pb2.GetPolicyRequest(tenant=tenant), timeout=connection.timeout_s)
        try:
            document = add_consumer(found.document, consumer, hashed, values)
        except InvalidPolicy as error:
            raise CommandError(ExitCode.REFUSED, f"the policy of tenant {tenant}: {error}") from None
        request = admin_pb2.ApplyPolicyRequest(document=document, expected_version=found.version)
        applied: admin_pb2.ApplyPolicyResponse = service.ApplyPolicy(request, timeout=connection.timeout_s)
    return applied
