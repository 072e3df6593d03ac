"""The most that a model can answer with."""

import pytest

from tallystick.core.policy import PriceRules
from tallystick.pricing import Ceilings, ceilings

DECLARED = Ceilings(PriceRules(max_output=(("gpt-4o", 16_384), ("openai/*", 5), ("house-*", 7))))


@pytest.mark.parametrize(
    ("model", "provider", "given", "most"),
    [
        ("gpt-4o", "", 1_000, 16_384),  # declared: whatever the input
        ("gpt-4o", "", 10**6, 16_384),
        ("gpt-4", "openai", 0, 5),  # by provider/model
        ("openai/house-1", "", 0, 5),
        ("house-1", "", 0, 7),
        ("gpt-4", "", 1_000, 8_192 - 1_000),  # the catalogue's window, minus the input
        ("gpt-4", "", 8_000, 500),  # a little is left whatever the estimate of the input
        ("gpt-4", "", 10**6, 500),
        ("nobody-knows-me", "", 0, None),
        ("text-davinci-002", "", 0, None),  # listed, without a window
        ("x" * 300, "", 0, None),
    ],
)
def test_it_is_declared_or_follows_from_the_window(
    model: str, provider: str, given: int, most: int | None
) -> None:
    for _ in range(2):  # found, and remembered
        assert DECLARED.most_output(model, provider, given, 500) == most


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "_MAX_REMEMBERED", 3)
    made = Ceilings(PriceRules())
    for number in range(10):
        assert made.most_output(f"m{number}", "", 0, 0) is None
    assert len(made._remembered) <= 3
