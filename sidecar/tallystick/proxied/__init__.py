"""Calls to providers that a proxy makes and we only see: what each is, who makes it, and how it ends.

Adapters (`services/ext_authz.py`, `access_log.py`, `ext_proc.py`) translate a proxy's messages into these
values and back; what is decided of a call, and what its end costs, is decided here, once for all of them.
"""
