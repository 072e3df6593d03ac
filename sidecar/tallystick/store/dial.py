"""How a connection to one node is made: the transport, TLS, who we are, and whether it serves."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import hiredis

from tallystick.core.errors import StoreUnavailable
from tallystick.store.address import StoreAddress
from tallystick.store.connection import Connection
from tallystick.store.resp import encode


async def dial(
    address: StoreAddress, tls: ssl.SSLContext | None, make: Callable[[], Connection]
) -> Connection:
    """A connection that answers.

    Raises:
        OSError: there is none.
        StoreUnavailable: it refuses us, or does not serve yet.
    """
    loop = asyncio.get_running_loop()
    if address.path:
        _, connection = await loop.create_unix_connection(make, address.path)
    else:
        _, connection = await loop.create_connection(
            make, address.host, address.port, ssl=tls if address.tls else None
        )
    try:
        await _greet(connection, address)
    except BaseException:  # also when it took too long, or nobody wants it any more
        connection.abort()
        raise
    return connection


async def ask_once(
    address: StoreAddress, tls: ssl.SSLContext | None, *command: str | int, timeout_s: float
) -> Any:
    """The reply to one command, over a connection of its own.

    Raises:
        StoreUnavailable: there is no answer, or an error. It says from where.
    """
    try:
        async with asyncio.timeout(timeout_s):
            connection = await dial(address, tls, lambda: Connection(lambda _: None))
            try:
                reply = await connection.send(encode(command))
            finally:
                connection.abort()
    except TimeoutError:
        raise StoreUnavailable(f"{address}: no answer within {timeout_s:g} s") from None
    except (OSError, StoreUnavailable) as error:
        raise StoreUnavailable(f"{address}: {error}") from error
    if isinstance(reply, hiredis.ReplyError):
        raise StoreUnavailable(f"{address}: it answers {reply}")
    return reply


async def _greet(connection: Connection, address: StoreAddress) -> None:
    hello: list[list[str | int]] = []
    if address.password:
        hello.append(["AUTH", *([address.username] if address.username else []), address.password])
    if address.database:
        hello.append(["SELECT", address.database])
    hello.append(["PING"])
    for command in hello:
        reply = await connection.send(encode(command))
        if isinstance(reply, hiredis.ReplyError):
            raise StoreUnavailable(f"it refused {command[0]}: {reply}")
