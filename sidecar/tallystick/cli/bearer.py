"""What a command says of itself: its token, and its client certificate."""

from collections import namedtuple
from typing import Any

import grpc

from tallystick.cli.exits import CommandError, ExitCode
from tallystick.cli.files import read_bytes, read_text
from tallystick.cli.options import Identification

_Details = namedtuple(
    "_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")
)


class _Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[type-arg]
    """Puts a token into the metadata of every call."""

    def __init__(self, token: str) -> None:
        self._token = token

    def _with_token(self, details: Any) -> Any:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._token}")]
        return _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            getattr(details, "wait_for_ready", None),
            getattr(details, "compression", None),
        )

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._with_token(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._with_token(details), request)


def open_channel(address: str, options: Any, who: Identification) -> grpc.Channel:
    """Open a channel: over TLS if a CA is given, with the token if there is one.

    Raises:
        CommandError: a file can't be read, or an option lacks another.

    """
    if (who.tls_cert or who.tls_key) and not (who.tls_ca and who.tls_cert and who.tls_key):
        raise CommandError(ExitCode.USAGE, "expected --tls-ca, --tls-cert and --tls-key together")
    token = _token(who)
    if who.tls_ca:
        client = [read_bytes(str(path)) if path else None for path in (who.tls_key, who.tls_cert)]
        credentials = grpc.ssl_channel_credentials(read_bytes(str(who.tls_ca)), *client)
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    return grpc.intercept_channel(channel, _Bearer(token)) if token else channel


def _token(who: Identification) -> str:
    """Read the token out of its file, or else the environment; it is never quoted."""
    from tallystick.config import token_of_environment

    token = read_text(str(who.token_file)).strip() if who.token_file else token_of_environment()
    if token and not (token.isascii() and token.isprintable() and len(token.split()) == 1):
        place = str(who.token_file) if who.token_file else "TALLYSTICK_TOKEN"
        raise CommandError(ExitCode.USAGE, f"{place}: expected one token, of ASCII without spaces")
    return token
