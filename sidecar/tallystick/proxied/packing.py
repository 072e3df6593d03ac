"""A held call as one text, which a proxy keeps in its metadata and gives back with the end."""

import binascii
import json

from tallystick.core.packing import compact
from tallystick.core.usage import Usage
from tallystick.providers import Api
from tallystick.proxied.calls import HeldCall

CALL = "call"
"""The key under which it is kept."""


def pack(call: HeldCall) -> str:
    """Write it."""
    tally = binascii.b2a_base64(call.tally, newline=False).decode()
    return compact([call.tenant, call.reservation_id, tally, call.api.value, call.model, *call.held])


def unpack(text: str) -> HeldCall | None:
    """Read what `pack` wrote; None if it is something else."""
    try:
        tenant, reservation_id, tally, api, model, *held = json.loads(text)
        texts = (tenant, reservation_id, model)
        if not all(isinstance(each, str) for each in texts) or not all(type(n) is int for n in held):
            return None
        raw = binascii.a2b_base64(tally, strict_mode=True)
        return HeldCall(tenant, reservation_id, raw, Api(api), model, Usage(*held))
    except (ValueError, TypeError):
        return None
