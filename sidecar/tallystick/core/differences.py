"""One difference of two policies, as a plain value."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar


class Kind(Enum):
    """What a difference does to callers."""

    TIGHTER = "tighter"
    LOOSER = "looser"
    NEW = "new"
    GONE = "gone"
    CHANGED = "changed"
    """Neither tighter nor looser for all."""


class Difference(NamedTuple):
    """Something that another policy says otherwise."""

    kind: Kind
    path: str
    """Where in the document: `budgets.daily.limit`."""
    text: str
    """In words: `25.00 USD instead of 20.00 USD`."""


class Named(Protocol):
    """What has a name in the policy."""

    @property
    def name(self) -> str:
        """Its key in the document."""
        ...


Part = TypeVar("Part", bound=Named)


def by_amount(path: str, before: int, after: int, text: Callable[[int], str]) -> Iterator[Difference]:
    """A number of which more is looser."""
    if before != after:
        kind = Kind.LOOSER if after > before else Kind.TIGHTER
        yield Difference(kind, path, f"{text(after)} instead of {text(before)}")


def changed(path: str, before: object, after: object, more: str = "") -> Iterator[Difference]:
    """Something that is neither tighter nor looser for all."""
    if before != after:
        yield Difference(Kind.CHANGED, path, f"{after} instead of {before}{more}")


def by_name(
    path: str,
    before: Sequence[Part],
    after: Sequence[Part],
    told: Callable[[Part], str],
    compare: Callable[[str, Part, Part], Iterator[Difference]],
) -> Iterator[Difference]:
    """Parts that have names: what is new, what is gone, and what is said otherwise of the rest."""
    old, new = {part.name: part for part in before}, {part.name: part for part in after}
    for name, part in new.items():
        place = f"{path}.{name}"
        if name not in old:
            yield Difference(Kind.NEW, place, told(part))
        elif part != old[name]:
            found = list(compare(place, old[name], part))
            yield from found or [Difference(Kind.CHANGED, place, "the same in another order")]
    for name, part in old.items():
        if name not in new:
            yield Difference(Kind.GONE, f"{path}.{name}", told(part))


def names_text(names: Sequence[str]) -> str:
    """Names in a row; `nothing` for none."""
    return ", ".join(names) or "nothing"
