"""Who may call over gRPC: the tokens of the store, and what the file of callers says."""

import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tallystick.core.callers import (
    Caller,
    Token,
    certified,
    check_token,
    make_token,
    new_stamp,
    read_token,
)
from tallystick.core.consumer_keys import digest_of
from tallystick.core.errors import (
    InvalidArgument,
    InvalidPolicy,
    StoreUnavailable,
    TallystickError,
    Unauthenticated,
)
from tallystick.policyfile.callers_file import FileOfCallers, load_callers
from tallystick.store.base import Store

UNREAD = "-"
"""The stamp of tokens that were never read."""

log = logging.getLogger("tallystick.callers")


class CallersFileError(TallystickError):
    """The file of callers is wrong, or can't be read. Says where and what was expected; quotes no token."""


class Callers:
    """Knows every caller; `refresh` keeps it within a moment of the truth.

    `path`: the file of callers. It is read at once, and again whenever it changes.

    Raises:
        CallersFileError: the file is wrong, or can't be read.
    """

    def __init__(self, store: Store, path: Path | None = None) -> None:
        self._store = store
        self._path = path
        self._seen: tuple[int, ...] | None = ()
        self._stamp = UNREAD
        self._of_store: Mapping[bytes, Caller] = {}
        self._of_file = FileOfCallers()
        self._known: dict[bytes, Caller] = {}
        self._read_file()

    def by_token(self, token: str) -> Caller:
        """Whom a token stands for.

        Raises:
            Unauthenticated: says what was expected. The token is not quoted.
            StoreUnavailable: the tokens of the store are not known yet.
        """
        caller = self._known.get(digest_of(token))
        if caller is None:
            if self._stamp is UNREAD:
                raise StoreUnavailable("the store has not told yet which tokens there are")
            raise Unauthenticated("authorization: expected a token that is in use; this one is not known")
        if caller.expires_ms and caller.expires_ms <= time.time_ns() // 1_000_000:
            raise Unauthenticated(
                f"authorization: expected a token that is in use; {caller.name} has expired"
            )
        return caller

    def by_certificate(self, names: Sequence[str]) -> Caller | None:
        """Whom a verified client certificate with these names stands for."""
        return certified(self._of_file.certificates, names)

    @property
    def of_socket(self) -> Caller | None:
        """Who calls over the Unix socket without a token, where the file says so."""
        return self._of_file.socket

    async def refresh(self) -> None:
        """Takes over what changed in the file and in the store.

        A file that is wrong now leaves what it said before, and is told of in the log.

        Raises:
            StoreUnavailable: what was known of the store stays.
        """
        try:
            self._read_file()
        except CallersFileError as error:
            log.warning("the file of callers is not taken over: %s", error)
        found = await self._store.tokens(self._stamp)
        if found is not None:
            tokens = [read_token(*each) for each in found.records.items()]
            self._of_store = {token.digest: token.caller() for token in tokens}
            self._stamp = found.stamp
            self._merge()

    def _read_file(self) -> None:
        if self._path is None:
            return
        status: os.stat_result | None = None
        with contextlib.suppress(FileNotFoundError):
            status = self._path.stat()
        seen = status and (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen == self._seen:
            return
        self._seen = seen  # also of a wrong one, which is told of once
        try:
            self._of_file = load_callers(self._path.read_text())
        except InvalidPolicy as error:
            raise CallersFileError(f"{self._path}: {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise CallersFileError(f"{self._path}: {getattr(error, 'strerror', 'expected UTF-8')}") from None
        self._merge()

    def _merge(self) -> None:
        self._known = {**self._of_store, **self._of_file.tokens}

    async def create(self, token: Token, by: str) -> tuple[Token, str]:
        """Makes a token, which is told this once; `token` has no digest yet. `by`: for the ledger.

        Raises:
            InvalidArgument, TokenExists, StoreUnavailable.
        """
        now_ms = time.time_ns() // 1_000_000
        check_token(token)
        if token.expires_ms and token.expires_ms <= now_ms:
            raise InvalidArgument("expires_at", "expected a time in the future")
        secret = make_token()
        made = replace(token, digest=digest_of(secret), created_ms=now_ms)
        await self._store.make_token(made, new_stamp(), by)
        await self.refresh()
        return made, secret

    async def tokens(self, tenant: str) -> list[Token]:
        """The tokens of the store, of one tenant or, where it is empty, of all, by tenant and name."""
        found = await self._store.tokens(UNREAD)
        assert found is not None
        tokens = [read_token(*each) for each in sorted(found.records.items())]
        return [token for token in tokens if tenant in ("", token.tenant)]

    async def revoke(self, tenant: str, name: str, by: str) -> None:
        """Forgets a token: here at once, elsewhere within a second. `by`: for the ledger.

        Raises:
            TokenNotFound, StoreUnavailable.
        """
        await self._store.revoke_token(tenant, name, new_stamp(), by)
        await self.refresh()
