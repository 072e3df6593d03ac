"""Each path of `tests/vectors/providers/routes.json`, and tricks that must not make a call free."""

import json
import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.providers.call import Api
from tallystick.providers.routes import Route, RouteKind, route_of

ROUTES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "providers" / "routes.json").read_text()
)
METERED = [route["path"].partition("?")[0] for route in ROUTES if route["kind"] == "metered"]
FREE = [(route["method"], route["path"].partition("?")[0]) for route in ROUTES if route["kind"] == "free"]


@pytest.mark.parametrize("vector", ROUTES, ids=lambda vector: f"{vector['method']} {vector['path'][:60]}")
def test_vector(vector: dict[str, Any]) -> None:
    api = None if vector["api"] is None else Api(vector["api"])
    kind = RouteKind(vector["kind"])
    expected = Route(api, vector["provider"], vector["model"], vector["stream"], kind)
    assert route_of(vector["method"], vector["path"]) == expected


def test_vectors_cover_every_api() -> None:
    assert {Api(vector["api"]) for vector in ROUTES if vector["api"]} == set(Api)


@settings(deadline=None)
@given(st.text(max_size=8), st.text(max_size=40) | st.from_regex(r"(/[a-z0-9.%;:@~-]{0,9}){0,8}"))
def test_any_path_is_something(method: str, path: str) -> None:
    route = route_of(method, path)
    assert (route.api is None) == (route.kind is not RouteKind.METERED)
    assert not route.model or route.api


TRICKS = st.sampled_from(
    ["/", "//", "/.", "/..", "/../..", "/x/..", "%2f", "%2F..", ";a=b", "/%2e%2e", "#", "\\", " "]
)


def readings(path: str) -> set[str]:
    """What a careless server may take the path for."""
    found = {path}
    for _ in range(2):
        for each in list(found):
            bare = re.sub(r";[^/]*", "", each.partition("#")[0]).strip()
            found |= {unquote(each), bare, each.replace("\\", "/").rstrip("/"), re.sub(r"/{2,}", "/", each)}
            found |= {posixpath.normpath(bare or "/")}
    return found | {each.lower() for each in found}


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(METERED), st.sampled_from(FREE), st.lists(TRICKS, min_size=1, max_size=3), st.data())
def test_no_trick_makes_a_metered_route_free(
    metered: str, free: tuple[str, str], tricks: list[str], data: st.DataObject
) -> None:
    method, harmless = free
    if method in ("HEAD", "OPTIONS"):
        method = "POST"
    at = data.draw(st.integers(0, len(metered)))
    trick = "".join(tricks)
    for path in (harmless + trick + metered, metered[:at] + trick + metered[at:], metered + trick + harmless):
        if any(route_of("POST", each).kind is RouteKind.METERED for each in readings(path)):
            assert route_of(method, path).kind is not RouteKind.FREE, path
