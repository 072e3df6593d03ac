"""Lists in pages: so many at a time, and a token to go on with."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from tallystick.core.errors import StoreUnavailable
from tallystick.core.page_tokens import seal_place, unseal_place

Item = TypeVar("Item")


class Page(NamedTuple):
    """Which part of a list is asked for."""

    size: int
    """How many at the most."""
    scope: str
    """The list: its method, and what it was asked."""
    token: str
    """Empty: from the beginning."""


class Cut(NamedTuple, Generic[Item]):
    """A page of a list."""

    found: Sequence[Item]
    token: str
    """Empty: there is no more."""


class Pages:
    """Makes tokens and reads them, with the key that all sidecars of the store share."""

    def __init__(self) -> None:
        self._key = b""

    def seal_with(self, key: bytes) -> None:
        """Sets the key. Before it, no page but the first is answered."""
        self._key = key

    def place(self, page: Page, field: str = "page_token") -> str:
        """Where the page begins; empty: at the beginning.

        Raises:
            InvalidArgument: the token is of another list, or forged.
            StoreUnavailable: the key is not known yet.
        """
        return unseal_place(self._ready(), field, page.scope, page.token) if page.token else ""

    def token(self, page: Page, place: str) -> str:
        """The token with which the list goes on from there. Raises StoreUnavailable."""
        return seal_place(self._ready(), page.scope, place)

    def cut(self, items: Sequence[Item], page: Page, name: Callable[[Item], str]) -> Cut[Item]:
        """A page of a whole list in the order of its names; what comes or goes moves nothing else."""
        place = self.place(page)
        start = bisect_right(items, place, key=name) if page.token else 0
        end = start + page.size
        return Cut(items[start:end], self.token(page, name(items[end - 1])) if end < len(items) else "")

    def _ready(self) -> bytes:
        if not self._key:
            raise StoreUnavailable("the sidecar is starting")
        return self._key
