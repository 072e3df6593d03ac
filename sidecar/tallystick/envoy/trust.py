"""The certificates that this machine trusts."""

from pathlib import Path

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Red Hat, Fedora
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD
)


def find_ca_bundle() -> str:
    """Find the system's bundle of trusted certificates (PEM); empty if there is none."""
    return next((path for path in BUNDLES if Path(path).is_file()), "")
