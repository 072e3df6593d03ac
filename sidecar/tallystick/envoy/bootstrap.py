"""The whole: what `envoy -c` takes."""

from typing import Any

from tallystick.envoy.clusters import address_of, provider_cluster, sidecar_cluster
from tallystick.envoy.keys import secrets
from tallystick.envoy.listener import listener
from tallystick.envoy.options import EnvoyOptions


def bootstrap(options: EnvoyOptions) -> dict[str, Any]:
    """Write a complete bootstrap."""
    resources = {
        "listeners": [listener(options)],
        "clusters": [
            sidecar_cluster(options),
            *(provider_cluster(provider, options) for provider in options.providers),
        ],
    }
    if held := secrets(options.providers):
        resources["secrets"] = held
    return {
        "node": {"id": "tallystick-gateway", "cluster": "tallystick"},
        **({"admin": {"address": address_of(options.admin)}} if options.admin else {}),
        "static_resources": resources,
    }
