import pytest

from tallystick.proxied.calls import Allowed
from tests.unit.proxied.counter import CHAT, POLICY, Counter


@pytest.fixture
async def counter() -> Counter:
    counter = Counter()
    await counter.office.apply(POLICY)
    return counter


async def test_smoke(counter: Counter) -> None:
    verdict = await counter.allowed()
    await counter.turned({**CHAT, "max_tokens": 1_000_000})
    assert isinstance(verdict, Allowed)
