"""A held call as one text, which a proxy keeps in its metadata and gives back with the end."""

import binascii

from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied.calls import HeldCall

CALL = "call"
"""The key under which it is kept."""
_APIS = {api.value: api for api in Api}
_PARTS = 6 + len(Usage._fields) - 1


def pack(call: HeldCall) -> str:
    """Write it: its parts with tabs between, which no name has in it."""
    tally = binascii.b2a_base64(call.tally, newline=False).decode()
    parts = (call.tenant, call.reservation_id, tally, call.api.value, call.model, *map(str, call.held))
    return "\t".join(parts)


def unpack(text: str) -> HeldCall | None:
    """Read what `pack` wrote; None if it is something else."""
    parts = text.split("\t")
    if len(parts) != _PARTS or parts[3] not in _APIS:
        return None
    tenant, reservation_id, tally, api, model, *held = parts
    try:
        raw, used = binascii.a2b_base64(tally, strict_mode=True), Usage._make(map(int, held))
    except ValueError:
        return None
    return HeldCall(tenant, reservation_id, raw, _APIS[api], model, used)
