"""The listeners of a sidecar: what each carries, and whom it asks who they are."""

import logging

from tallystick.config import Settings
from tallystick.engine.callers import Callers
from tallystick.observe.metrics import Metrics
from tallystick.services.guard import Guard, Register
from tallystick.services.permissions import OPERATOR
from tallystick.services.servers import Servers
from tallystick.services.tls import Certificates
from tallystick.setting_types import is_loopback

log = logging.getLogger("tallystick.listeners")


async def listen(
    servers: Servers,
    settings: Settings,
    callers: Callers,
    metrics: Metrics,
    *,
    add_budget: Register,
    add_admin: Register,
) -> None:
    """Opens every listener of the settings; no data plane carries the administration.

    Raises:
        ListenError, CertificateError.
    """
    certificates = _certificates(settings)
    guard = _guard(settings, callers, metrics)
    if settings.listen:
        _warn_of_clear_text(settings, settings.listen)
        await servers.listen_tcp(settings.listen, add_budget, guard=guard, certificates=certificates)
    if settings.socket:
        by_socket = _guard(settings, callers, metrics, socket=True)
        await servers.listen_unix(settings.socket, add_budget, guard=by_socket)
    if settings.admin_socket:
        by_owner = Guard(callers, metrics, tokens=True, otherwise=lambda: OPERATOR)
        await servers.listen_unix(settings.admin_socket, add_admin, admin=True, guard=by_owner)
    if settings.admin_listen:
        _warn_of_clear_text(settings, settings.admin_listen)
        await servers.listen_tcp(
            settings.admin_listen, add_admin, admin=True, guard=guard, certificates=certificates
        )


def _certificates(settings: Settings) -> Certificates | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def _guard(settings: Settings, callers: Callers, metrics: Metrics, *, socket: bool = False) -> Guard | None:
    """Of the TCP listeners, or of the data plane's socket; None where nobody is asked."""
    auth = settings.auth
    if auth == "none":
        return None
    if socket:
        return Guard(callers, metrics, tokens=auth != "mtls", otherwise=lambda: callers.of_socket)
    return Guard(callers, metrics, tokens=auth != "mtls", certificates=auth != "tokens")


def _warn_of_clear_text(settings: Settings, address: str) -> None:
    if settings.tls_cert is None and not is_loopback(address):
        log.warning("%s has no TLS: what is sent there, tokens included, can be read on the way", address)
