"""Providers' keys: held by Envoy, put into each request on its way out, seen by nobody else.

The injector is a filter of the provider's cluster, behind the router: what the
client sent has been removed by then, and a key can only reach its own provider.
"""

from types import MappingProxyType
from typing import Any

from tallystick.envoy.extension import extension
from tallystick.envoy.providers import Key, KeySource, Kind, Provider

CREDENTIAL_HEADERS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization")
"""In which clients send keys; none of them reaches a provider."""

_HEADERS = MappingProxyType(
    {
        Kind.ANTHROPIC: ("x-api-key", None),
        Kind.GEMINI: ("x-goog-api-key", None),
        Kind.AZURE: ("api-key", None),
    }
)
_BEARER = ("authorization", "Bearer ")
_INJECTOR = "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"
_GENERIC = "envoy.extensions.http.injected_credentials.generic.v3.Generic"
_SIGNING = "envoy.extensions.filters.http.aws_request_signing.v3.AwsRequestSigning"


def key_filters(provider: Provider) -> list[dict[str, Any]]:
    """Write the filters that give a provider its key."""
    match provider.key:
        case Key(source=KeySource.ENVIRONMENT | KeySource.FILE):
            header, prefix = _HEADERS.get(provider.kind, _BEARER)
            credential = extension(
                "envoy.http.injected_credentials.generic",
                _GENERIC,
                credential={"name": _secret(provider)},
                header=header,
                header_value_prefix=prefix,
            )
            return [
                extension(
                    "envoy.filters.http.credential_injector", _INJECTOR, overwrite=True, credential=credential
                )
            ]
        case Key(source=KeySource.AWS):
            signing = extension(
                "envoy.filters.http.aws_request_signing",
                _SIGNING,
                service_name="bedrock",
                region=provider.region,
            )
            return [signing]
    return []


def secrets(providers: tuple[Provider, ...]) -> list[dict[str, Any]]:
    """Write where each key is; the keys themselves are never in a configuration."""
    found = []
    for provider in providers:
        match provider.key:
            case Key(source=KeySource.ENVIRONMENT, where=where):
                source = {"environment_variable": where}
            case Key(source=KeySource.FILE, where=where):
                source = {"filename": where}
            case _:
                continue
        found.append({"name": _secret(provider), "generic_secret": {"secret": source}})
    return found


def _secret(provider: Provider) -> str:
    return f"key-{provider.name}"
