"""Providers' formats, read as plain values: a request's body to what it may cost, a usage object to tokens.

Pure: the standard library and `tallystick.core`, no input or output.
"""

from tallystick.providers.call import Api, CacheWrite, ProviderCall
from tallystick.providers.requests import parse_request
from tallystick.providers.usage import parse_usage

__all__ = ["Api", "CacheWrite", "ProviderCall", "parse_request", "parse_usage"]
