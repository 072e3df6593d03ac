"""What the gateway asks of Envoy's own interface."""

import asyncio
import contextlib
import time
from pathlib import Path

from tallystick.gateway.envoy_admin import EnvoyAdmin
from tests.e2e.envoy.adapters import wait
from tests.e2e.envoy.gateways import Gateway
from tests.e2e.envoy.provider import SSE, Script

CHAT_PATH = "/openai/v1/chat/completions"


def admin_of(gateway: Gateway) -> EnvoyAdmin:
    assert gateway.envoy.options.admin is not None
    return EnvoyAdmin(Path(gateway.envoy.options.admin.path))


def test_open_calls_are_counted(authz: Gateway) -> None:
    admin = admin_of(authz)
    assert asyncio.run(admin.is_ready())
    wait(lambda: asyncio.run(admin.open_calls()) == 0)
    script = authz.script(Script((b"data: {}\n\n", b"data: {}\n\n"), content_type=SSE, delay_s=1.0))
    with contextlib.closing(authz.connect()) as connection:
        response = authz.send(connection, script, CHAT_PATH, {"model": "big"})
        assert asyncio.run(admin.open_calls()) == 1
        response.read()
    wait(lambda: asyncio.run(admin.open_calls()) == 0)


def test_a_log_that_was_moved_is_begun_anew(authz: Gateway) -> None:
    moved = authz.access_log.with_name("moved.log")
    authz.call(authz.script(), CHAT_PATH, {"model": "big"})
    wait(lambda: bool(authz.access_log.read_text()))
    authz.access_log.rename(moved)
    asyncio.run(admin_of(authz).reopen_logs())
    wait(authz.access_log.exists)
    time.sleep(0.2)
    before = moved.read_text()
    authz.call(authz.script(), CHAT_PATH, {"model": "big"})
    wait(lambda: bool(authz.access_log.read_text()))
    assert moved.read_text() == before


def test_where_nobody_listens_nothing_is_said(directory: Path) -> None:
    admin = EnvoyAdmin(directory / "nobody.sock")
    assert not asyncio.run(admin.is_ready())
    assert asyncio.run(admin.open_calls()) is None
    asyncio.run(admin.drain())
