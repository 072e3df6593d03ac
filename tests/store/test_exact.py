"""The scripts' arithmetic on decimal texts, against Python's integers."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from tallystick.store.scripts import load_script
from tests.servers import StoreServer

Case = tuple[int, int, int, int]
Ask = Callable[[Sequence[Case]], object]

EXACT = "local format = string.format\n" + load_script("_exact").source
ASK = """
local results = {}
for i = 1, #ARGV, 4 do
  local a, b, c, limit = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  results[#results + 1] = {add(a, b), minus(a, b), negate(a), fits(a, b, c, limit) and 1 or 0}
end
return results
"""
TIMES = """
local results = {}
for i = 1, #ARGV, 2 do results[#results + 1] = times(ARGV[i], ARGV[i + 1] + 0) end
return results
"""
EDGES = [0, 10**8, 10**9, 10**14, 10**15, 10**16, 2**53, 10**17, 10**18, 2**63, 10**19, 2**64, 2**70]
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.integers(-(10**16), 10**16),
    st.integers(-1000, 1000),
    st.builds(
        lambda sign, edge, by: sign * (edge + by),
        st.sampled_from([1, -1]),
        st.sampled_from(EDGES),
        st.integers(-2, 2),
    ),
)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(-1, 1)), min_size=1, max_size=80)


def expected(case: Case) -> list[object]:
    a, b, c, limit = case
    return [b"%d" % (a + b), b"%d" % (a - b), b"%d" % -a, int(a + b + c <= limit)]


@pytest.fixture
def ask(store_server: StoreServer) -> Iterator[Ask]:
    with Redis(unix_socket_path=store_server.address.path) as client:
        script = client.register_script(EXACT + ASK)
        yield lambda rows: script(args=[str(cell) for row in rows for cell in row])


@pytest.mark.contract(11)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(rows=ROWS, near=st.booleans())
def test_sums_signs_and_limits_are_exact(
    ask: Ask, rows: list[tuple[int, int, int, int, int]], near: bool
) -> None:
    """`near`: the limit is the sum itself, or one beside it."""
    cases = [(a, b, c, a + b + c + by if near else limit) for a, b, c, limit, by in rows]
    assert ask(cases) == list(map(expected, cases))


@pytest.mark.contract(11)
def test_edges_with_edges(ask: Ask) -> None:
    numbers = [sign * (edge + by) for edge in EDGES for by in (-1, 0, 1) for sign in (1, -1)]
    thirds = (0, 1, 2**53 + 1, 10**16 - 1, 1 - 10**16)
    for a in numbers:
        cases = [(a, b, c, a + b + c + by) for b in numbers for c in thirds for by in (-1, 0)]
        assert ask(cases) == list(map(expected, cases))


@pytest.mark.contract(11)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(
    rows=st.lists(
        st.tuples(NUMBERS | st.integers(10**12, 10**14), st.integers(1, 999) | st.just(999)), min_size=1
    )
)
@example(rows=[(9_999_999_999_999, 999)])  # beyond 2^53, and odd
def test_products_with_small_numbers_are_exact(
    store_server: StoreServer, rows: list[tuple[int, int]]
) -> None:
    source = EXACT + load_script("_times").source + TIMES
    with Redis(unix_socket_path=store_server.address.path) as client:
        found = client.eval(source, 0, *(str(cell) for row in rows for cell in row))
    assert found == [b"%d" % (number * factor) for number, factor in rows]
