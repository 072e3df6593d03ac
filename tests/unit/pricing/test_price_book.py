import socket
from datetime import UTC, datetime
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, Tier, TieredPrices

from tallystick.core.policy import PriceRules
from tallystick.core.price import Price, Rate, free_price, unpack_price
from tallystick.core.usage import Usage
from tallystick.pricing import PriceBook, catalogue
from tallystick.pricing.convert import dearest, femto_per_token, price_from_catalogue

NOW_MS = 1_795_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)

MODELS = [
    ("openai", "gpt-3.5-turbo"),
    ("openai", "gpt-4"),
    ("openai", "gpt-4-turbo"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4.1"),
    ("openai", "gpt-4.1-mini"),
    ("openai", "gpt-4.1-nano"),
    ("openai", "gpt-5"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5-nano"),
    ("openai", "gpt-5.1"),
    ("openai", "gpt-5.4"),
    ("openai", "gpt-5.6-terra"),
    ("openai", "o1"),
    ("openai", "o3"),
    ("openai", "o3-mini"),
    ("openai", "o4-mini"),
    ("openai", "text-embedding-3-small"),
    ("openai", "text-embedding-3-large"),
    ("openai", "text-embedding-ada-002"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("anthropic", "claude-3-7-sonnet-latest"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-haiku-5-5"),
    ("anthropic", "claude-opus-4-1"),
    ("anthropic", "claude-opus-4-5"),
    ("anthropic", "claude-opus-4-6"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-sonnet-4-20250514"),
    ("anthropic", "claude-sonnet-5"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("google", "gemini-2.5-flash-lite"),
    ("mistral", "mistral-large-latest"),
    ("deepseek", "deepseek-chat"),
    ("deepseek", "deepseek-reasoner"),
    ("x-ai", "grok-4"),
    ("groq", "llama-3.3-70b-versatile"),
    ("aws", "us.anthropic.claude-sonnet-4-20250514-v1:0"),
    ("azure", "gpt-4o"),
]
INPUT_ONLY = {"text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"}
USAGES = [
    Usage(input=1, output=1),
    Usage(input=1_234, output=567),
    Usage(input=100, cache_read=99_999, output=33),
    Usage(input=199_999, output=1),
    Usage(input=1, cache_read=200_000, output=7_001),
    Usage(input=150_001, cache_read=122_000, output=9_999),
]


def book(*models: tuple[str, Price], ceiling: Price | None = None) -> PriceBook:
    return PriceBook(PriceRules(models, ceiling), lambda: NOW_MS)


def flat(femto: int, version: str = "policy 7") -> Price:
    rate = Rate(femto)
    return Price(version, rate, rate, rate, rate, rate)


def listed_nano_usd(provider: str, model: str, usage: Usage, context: dict[str, str] | None = None) -> int:
    counts = {
        "input_tokens": usage.total_input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write_5m + usage.cache_write_1h,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.output,
    }
    found = genai_prices.calc_price(
        genai_prices.Usage(**{name: count for name, count in counts.items() if count}),
        model,
        provider_id=provider,
        genai_request_timestamp=NOW,
        price_context=context,
    )
    return int((found.total_price * 10**9).to_integral_value("ROUND_HALF_EVEN"))


@pytest.mark.parametrize(("provider", "model"), MODELS)
def test_charges_as_the_catalogue_does(provider: str, model: str) -> None:
    price = book().resolve(model, provider)
    assert price is not None
    for usage in USAGES:
        used = usage._replace(output=0) if model in INPUT_ONLY else usage
        assert price.charge_nano_usd(used) == listed_nano_usd(provider, model, used), used


@pytest.mark.parametrize("model", [model for provider, model in MODELS if provider == "anthropic"])
def test_cache_writes_of_both_lifetimes(model: str) -> None:
    price = book().resolve(model, "anthropic")
    assert price is not None
    usage = Usage(input=7, cache_read=50_000, cache_write_5m=1_001, cache_write_1h=333, output=5)
    assert price.charge_nano_usd(usage) == listed_nano_usd("anthropic", model, usage)


@pytest.mark.parametrize(
    ("provider", "model", "tier", "context"),
    [
        ("openai", "gpt-5", "priority", {"service_tier": "priority"}),
        ("openai", "gpt-5", "flex", {"service_tier": "flex"}),
        ("openai", "gpt-5", "batch", {"processing": "batch"}),
        ("openai", "o3", "batch", {"processing": "batch"}),
        ("anthropic", "claude-opus-5", "fast", {"speed": "fast"}),
        ("anthropic", "claude-sonnet-4-5", "priority", {"service_tier": "priority"}),
    ],
)
def test_tiers(provider: str, model: str, tier: str, context: dict[str, str]) -> None:
    price = book().resolve(model, provider, tier=tier)
    assert price is not None
    for usage in USAGES:
        assert price.charge_nano_usd(usage) == listed_nano_usd(provider, model, usage, context)


def test_version_names_the_list() -> None:
    price = book().resolve("gpt-5", "openai")
    assert price is not None
    assert price.version == f"genai-prices {genai_prices.__version__}"


@pytest.mark.parametrize("name", ["gpt-5", "openai/gpt-5", "GPT-5", "gpt-5-2025-08-07"])
@pytest.mark.parametrize("provider", ["", "openai", "a-proxy-of-ours"])
def test_names_of_one_model(name: str, provider: str) -> None:
    assert book().resolve(name, provider) == book().resolve("gpt-5", "openai")


def test_embeddings_without_a_provider() -> None:
    assert book().resolve("text-embedding-3-small") == book().resolve("text-embedding-3-small", "openai")


def test_compatible_server_is_priced_as_by_the_maker() -> None:
    assert book().resolve("claude-opus-4-5", "openai") == book().resolve("claude-opus-4-5", "anthropic")


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("no-such-model", ""),
        ("no-such-model", "openai"),
        ("", ""),
        ("gpt-5" + "x" * 300, "openai"),
        ("deepseek-r1:free", "openrouter"),  # listed without any price
        ("gpt-4o", "github-copilot"),
        ("sonar", "perplexity"),  # costs something for each request
        ("whisper-1", "openai"),  # by the hour
        ("tts-1", "openai"),  # by the character
        ("mistral-ocr-latest", "mistral"),  # by the page
    ],
)
def test_unknown_or_in_other_units(model: str, provider: str) -> None:
    assert book().resolve(model, provider) is None
    assert book(ceiling=flat(9)).resolve("no-such-model", provider) == flat(9)


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert book().resolve("gpt-5") is not None
    assert book().resolve("no-such-model") is None


def test_the_whole_catalogue_converts() -> None:
    prices = book()
    found = [prices.resolve(model.id, seller.id) for seller in providers for model in seller.models]
    priced = [price for price in found if price is not None]
    assert len(priced) > 2_000
    for price in priced:
        assert not price.free
        assert price.hold_nano_usd(Usage(1_000, 1_000, 1_000, 1_000, 1_000)) > 0
        assert unpack_price(price.pack()) == price


def test_zero_prices_are_not_free() -> None:
    zero = ModelPrice(input_mtok=Decimal(0), output_mtok=Decimal(0))
    assert price_from_catalogue(zero, "v", media=False, writes_cost=False) is None
    assert price_from_catalogue(ModelPrice(), "v", media=False, writes_cost=False) is None


def test_policy_comes_before_the_catalogue() -> None:
    prices = book(("gpt-5", flat(5)), ("gpt-*", flat(6)), ("local/*", free_price("policy 7")))
    assert prices.resolve("gpt-5") == flat(5)
    assert prices.resolve("openai/gpt-5") == flat(5)
    assert prices.resolve("gpt-4o", "openai") == flat(6)
    assert prices.resolve("llama", "local") == free_price("policy 7")
    assert prices.resolve("local/llama") == free_price("policy 7")
    claude = prices.resolve("claude-opus-4-5")
    assert claude is not None
    assert not claude.free


def test_an_hour_costs_twice_the_input_where_the_list_does_not_say() -> None:
    listed = ModelPrice(input_mtok=Decimal(3), output_mtok=Decimal(15), cache_write_mtok=Decimal("3.75"))
    price = price_from_catalogue(listed, "v", media=False, writes_cost=False)
    assert price is not None
    assert price.cache_write_1h == Rate(6_000_000_000)
    assert price.cache_read == price.input == Rate(3_000_000_000)
    assert price.cache_write_5m == Rate(3_750_000_000)


def test_no_cache_prices_at_all_means_input() -> None:
    listed = ModelPrice(input_mtok=TieredPrices(Decimal(1), [Tier(10, Decimal(2))]))
    price = price_from_catalogue(listed, "v", media=False, writes_cost=False)
    assert price is not None
    assert {price.cache_read, price.cache_write_5m, price.cache_write_1h, price.output} == {price.input}
    claude = price_from_catalogue(listed, "v", media=False, writes_cost=True)
    assert claude is not None
    assert claude.cache_write_1h == Rate(2_000_000_000, ((10, 4_000_000_000),))


def test_media_is_charged_at_the_dearest_modality() -> None:
    prices = book()
    text, media = prices.resolve("gemini-2.5-flash"), prices.resolve("gemini-2.5-flash", media=True)
    assert text is not None
    assert media is not None
    assert (text.input, media.input) == (Rate(300_000_000), Rate(1_000_000_000))
    spoken = prices.resolve("gpt-audio", "openai")
    assert spoken is not None
    assert spoken.output == Rate(64_000_000_000)


def test_dearest_of_tiered_rates() -> None:
    assert dearest([Rate(5), Rate(3, ((10, 7), (20, 4)))]) == Rate(5, ((10, 7), (20, 5)))


def test_conversion_is_exact_and_never_below() -> None:
    assert femto_per_token(Decimal("0.075")) == 75_000_000
    assert femto_per_token(Decimal("0.0833333333333333")) == 83_333_334
    for wrong in (Decimal(-1), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(ValueError, match="a price"):
            femto_per_token(wrong)


def test_prices_follow_the_date_and_the_time_of_day() -> None:
    clock = [0]
    prices = PriceBook(PriceRules(), lambda: clock[0])

    def input_at(model: str, when: datetime) -> int:
        clock[0] = int(when.timestamp() * 1000)
        price = prices.resolve(model, "deepseek" if "deepseek" in model else "openai")
        assert price is not None
        return price.input.base

    noon, night = datetime(2025, 3, 1, 12, tzinfo=UTC), datetime(2025, 3, 1, 17, tzinfo=UTC)
    assert input_at("deepseek-chat", noon) > input_at("deepseek-chat", night)
    assert input_at("o3", datetime(2025, 6, 9, 23, 59, tzinfo=UTC)) > input_at(
        "o3", datetime(2025, 6, 10, 0, 1, tzinfo=UTC)
    )


def test_answers_are_remembered_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    found = catalogue.find_price

    def counting(model: str, provider: str, tier: str, at: datetime) -> ModelPrice | None:
        asked.append(model)
        return found(model, provider, tier, at)

    monkeypatch.setattr("tallystick.pricing.book.find_price", counting)
    monkeypatch.setattr("tallystick.pricing.book._MAX_REMEMBERED", 10)
    prices = book()
    assert prices.resolve("gpt-5") is prices.resolve("gpt-5")
    assert prices.resolve("nothing") is prices.resolve("nothing")
    assert asked == ["gpt-5", "nothing"]
    for index in range(50):
        prices.resolve(f"nothing-{index}")
    assert len(prices._remembered) <= 10
