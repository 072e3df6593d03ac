import pytest

from tests.unit.engine.office import Office


@pytest.fixture
async def office() -> Office:
    return Office()
