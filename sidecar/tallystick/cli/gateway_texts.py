"""What `tallystick gateway` tells who started it."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tallystick.envoy import EnvoyOptions, Provider
    from tallystick.envoy.options import Place

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to show for it
_POLICY = """\
tenant: acme
budgets:
  daily: {per: [user], limit: 5 USD, window: day}
  loops: {per: [user, prompt], limit: 5 requests, window: 10m}
"""


def introduction(place: "Place", options: "EnvoyOptions") -> str:
    """Tell where programs find each provider."""
    scheme = "https" if options.tls_cert else "http"
    host = _ANYWHERE.get(place.host, place.host)
    where = f"{scheme}://[{host}]:{place.port}" if ":" in host else f"{scheme}://{host}:{place.port}"
    width = max(len(provider.name) for provider in options.providers)
    lines = [
        "The gateway serves. A program goes under budget by its base_url and its key, and nothing else:",
        "",
        *(f"  {each.name:<{width}}  {where}{path_of(each)}" for each in options.providers),
        "",
    ]
    return "\n".join(lines)


def path_of(provider: "Provider") -> str:
    """What the official SDK of a provider has after the host."""
    from tallystick.envoy import Kind

    likes_openai = provider.kind in {Kind.OPENAI, Kind.COMPATIBLE}
    return f"/{provider.name}/v1" if likes_openai else f"/{provider.name}"


def first_steps(admin_socket: Path | None) -> str:
    """Tell how to get to the first call that is let through, in commands that work as they are printed."""
    from tallystick.config import default_data_dir

    # Another terminal has none of this one's settings.
    found = admin_socket == (default_data_dir() / "admin.sock").expanduser()
    there = "" if found else f" --admin-address unix:{admin_socket}"
    return f"""
No policy is in force yet, so every call is refused. From another terminal:

cat > acme.yaml <<'END'
{_POLICY}END
tallystick policy apply acme.yaml{there}
tallystick key create acme alice --user alice --apply{there}

The key that it prints goes where the program had the provider's.
"""


def unprotected(options: "EnvoyOptions") -> str:
    """Say what is wrong with a listener that others reach without TLS; empty if nothing is."""
    if options.tls_cert or options.listen.is_loopback:
        return ""
    return "Clients send their keys without TLS: use --tls-cert and --tls-key, or put something before it."
