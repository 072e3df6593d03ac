"""The bundled list of genai-prices, read without its caches (which grow with every name asked for)."""

from datetime import datetime

from genai_prices import __version__
from genai_prices.data import providers
from genai_prices.data_snapshot import find_provider_by_id
from genai_prices.types import ModelInfo, ModelPrice, Provider

VERSION = f"genai-prices {__version__}"
_MAX_NAME_CHARACTERS = 256


def known_prefix(model: str) -> tuple[str, str] | None:
    """Split `openai/gpt-5` into provider and model; `None` where the prefix is no provider's name."""
    prefix, slash, rest = model.partition("/")
    known = slash and rest and prefix and find_provider_by_id(providers, prefix)
    return (prefix, rest) if known else None


def find_price(model: str, provider: str, tier: str, at: datetime) -> ModelPrice | None:
    """Look up what the catalogue says of a model at a time, in a processing tier; `None` if nothing.

    Tried in turn: the provider given; the one that the model's name begins with; the one
    that makes models of such a name; OpenAI. So a call to a compatible server that the catalogue
    does not list is priced as by the maker.
    """
    if not 0 < len(model) <= _MAX_NAME_CHARACTERS:
        return None
    seller, info = _find(model, provider)
    if seller is None or info is None:
        return None
    # As genai-prices does: variants are the seller's own, not those of a list it falls back to.
    context = _context(tier) if tier and any(info is own for own in seller.models) else None
    return info.get_prices(at, context)


def find_context_window(model: str, provider: str) -> int | None:
    """Look up how many tokens a model takes in and gives out together; `None` if nobody says."""
    if not 0 < len(model) <= _MAX_NAME_CHARACTERS:
        return None
    info = _find(model, provider)[1]
    return info.context_window if info else None


def _find(model: str, provider: str) -> tuple[Provider | None, ModelInfo | None]:
    tries = [(provider, model)] if provider else []
    if split := known_prefix(model):
        tries.append(split)
    for name, reference in tries:
        seller = find_provider_by_id(providers, name)
        info = seller.find_model(reference, all_providers=providers) if seller else None
        if info is not None:
            return seller, info
    for seller in providers:
        if seller.model_match is not None and seller.model_match.is_match(model.lower()):
            return seller, seller.find_model(model, all_providers=providers)
    # Its provider rule speaks of "gpt" and "o1" only: embeddings and fine-tuned models are missing.
    maker = find_provider_by_id(providers, "openai")
    return maker, maker.find_model(model) if maker else None


def _context(tier: str) -> dict[str, str]:
    """Say the tier in every word that a variant may ask for: OpenAI's and Anthropic's differ."""
    return {"processing": "batch"} if tier == "batch" else {"service_tier": tier, "speed": tier}
