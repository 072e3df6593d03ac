"""Page tokens: each goes on with its own list, and nobody makes one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.core.errors import InvalidArgument, StoreUnavailable
from tallystick.core.page_tokens import seal_place, unseal_place
from tallystick.engine.paging import Page, Pages

KEY = b"a key"
TEXTS = st.text(max_size=20)


@given(TEXTS, TEXTS)
def test_a_token_gives_its_place_back(scope: str, place: str) -> None:
    assert unseal_place(KEY, "page_token", scope, seal_place(KEY, scope, place)) == place


@given(TEXTS, TEXTS, TEXTS)
def test_it_is_of_one_list_and_one_key(scope: str, place: str, other: str) -> None:
    token = seal_place(KEY, scope, place)
    for key, of in ((b"another key", scope), (KEY, f"{scope}{other}x")):
        with pytest.raises(InvalidArgument, match="position: expected a token that this very list gave"):
            unseal_place(key, "position", of, token)


def test_where_the_scope_ends_is_sealed_too() -> None:
    """What of a scope is moved into the place makes another token."""
    assert seal_place(KEY, "ab", "c")[:8] != seal_place(KEY, "a", "bc")[:8]


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_what_nobody_sealed_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        unseal_place(KEY, "page_token", "a list", token)


@given(st.sets(TEXTS), st.integers(1, 7))
def test_pages_together_are_the_list(names: set[str], size: int) -> None:
    pages, items, found, token = Pages(), sorted(names), list[str](), ""
    pages.seal_with(KEY)
    while True:
        cut = pages.cut(items, Page(size, "a list", token), str)
        found += cut.found
        token = cut.token
        if not token:
            break
        assert len(cut.found) == size
    assert found == items


@given(st.sets(TEXTS, min_size=3), st.data())
def test_what_comes_or_goes_between_pages_moves_nothing_else(names: set[str], data: st.DataObject) -> None:
    pages, items = Pages(), sorted(names)
    pages.seal_with(KEY)
    first = pages.cut(items, Page(2, "a list", ""), str)
    kept = [name for name in items if data.draw(st.booleans())]
    later = sorted({*kept, *data.draw(st.sets(TEXTS))})
    if first.token:
        second = pages.cut(later, Page(1_000, "a list", first.token), str)
        assert second.found == [name for name in later if name > first.found[-1]]


def test_before_the_key_is_known_there_are_no_tokens() -> None:
    pages = Pages()
    assert pages.place(Page(5, "a list", "")) == ""
    with pytest.raises(StoreUnavailable):
        pages.place(Page(5, "a list", "x"))
    with pytest.raises(StoreUnavailable):
        pages.token(Page(5, "a list", ""), "x")
