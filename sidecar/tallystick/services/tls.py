"""The certificate of a listener, read again when it changes."""

import logging
import ssl
from pathlib import Path
from typing import Any

import grpc

from tallystick.core.errors import TallystickError

log = logging.getLogger("tallystick.tls")


class CertificateError(TallystickError):
    """A certificate, its key or the client CA can't be used."""


class Certificates:
    """A certificate with its key, and whose client certificates are let in (None: none are asked for).

    Raises:
        CertificateError: they can't be used.
    """

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._paths = tuple(path for path in (certificate, key, client_ca) if path)
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._seen = self._look()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """For a server; every handshake looks whether a file has changed."""
        renewed: Any = self._renewed  # its type leaves None out, which means that nothing has changed
        made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
            self._first, renewed, require_client_authentication=self._client_ca is not None
        )
        return made

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """What replaces the certificate in use; None: it is the newest. Called in gRPC's own threads."""
        try:
            seen = self._look()
            if seen == self._seen:
                return None
            self._seen = seen  # also of a wrong one, which is told of once
            read = self._read()
        except (CertificateError, OSError) as error:
            log.warning("the certificate in use is kept: %s", error)
            return None
        log.info("the certificate in %s is in use", self._certificate)
        return read

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        try:
            found = [path.stat() for path in self._paths]
        except OSError as error:
            raise CertificateError(f"{error.filename}: {error.strerror}") from None
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        # gRPC would take what does not go together, and fail every handshake.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._certificate, self._key, password=_no_password)
            if self._client_ca:
                context.load_verify_locations(self._client_ca)
            chain, key = self._certificate.read_bytes(), self._key.read_bytes()
            roots = self._client_ca.read_bytes() if self._client_ca else None
        except (ssl.SSLError, OSError, ValueError) as error:
            paths = ", ".join(str(path) for path in self._paths)
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
            raise CertificateError(f"expected certificate, key and CA as PEM in {paths}: {reason}") from None
        made: grpc.ServerCertificateConfiguration = grpc.ssl_server_certificate_configuration(
            [(key, chain)], roots
        )
        return made


def _no_password() -> str:
    """Openssl would ask for one on the terminal."""
    raise ValueError("the key is encrypted")
