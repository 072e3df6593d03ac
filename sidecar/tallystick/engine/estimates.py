"""From a caller's estimate to tokens by class: what may be used."""

import asyncio
from typing import NamedTuple

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.policy import OutputRule, Unit
from tallystick.core.price import Price
from tallystick.core.subject import Subject
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, ProviderRequest, ReserveCall, TokenEstimate
from tallystick.engine.learned import Learned
from tallystick.engine.rules import Rules
from tallystick.providers.call import CacheWrite, ProviderCall
from tallystick.providers.parts import parse_part
from tallystick.providers.requests import parse_request
from tallystick.tokens import TokenCounter

LONG_BODY_BYTES = 32_768
"""A longer body is read in a thread, so that it holds nobody up; so is the first, which loads
vocabularies."""


BOTH = (Unit.NANO_USD, Unit.TOKENS)
AZURE = "azure"
"""It goes by the deployment that the path names, whatever model the body names."""


class Estimate(NamedTuple):
    """What a call may use, and what of it its price depends on."""

    model: str
    provider: str
    usage: Usage | None
    """None where the caller gave the cost."""
    cost: Cost | None = None
    tier: str = ""
    media: bool = False
    prompt: str = ""
    """The prompt's fingerprint, where the policy looks at it and the caller gave a body without one."""

    def subject(self, given: Subject) -> Subject:
        """The subject of the call, with its prompt."""
        return given._replace(prompt=self.prompt) if self.prompt else given

    @property
    def said(self) -> tuple[Unit, ...] | None:
        """The units in which the caller gave the cost; a part of 0 beside one that isn't was not said."""
        if self.cost is None:
            return None
        if bool(self.cost.nano_usd) == bool(self.cost.tokens):
            return BOTH
        return (Unit.NANO_USD,) if self.cost.nano_usd else (Unit.TOKENS,)


class Estimator:
    """Reads and counts what callers send."""

    def __init__(self, counter: TokenCounter, learned: Learned) -> None:
        self._counter = counter
        self._learned = learned

    def at_once(self, call: ReserveCall, rules: Rules) -> Estimate | None:
        """What the call may use; None where a provider's request is to be read for it."""
        asked = call.estimate
        if type(asked) is TokenEstimate:
            output = asked.max_output
            if output is None:
                output = self._max_output(call, rules, call.model, asked.input)
            return Estimate(call.model, call.provider, Usage(input=asked.input, output=output))
        if type(asked) is Cost:
            return Estimate(call.model, call.provider, None, asked)
        return None

    async def estimate(self, call: ReserveCall, rules: Rules) -> Estimate:
        """What the call may use.

        Raises:
            InvalidArgument: the provider's request is malformed, or names another model.
        """
        asked = call.estimate
        if not isinstance(asked, ProviderRequest):
            estimate = self.at_once(call, rules)
            assert estimate is not None
            return estimate
        by_prompt = rules.by_prompt and not call.subject.prompt
        if len(asked.body) > LONG_BODY_BYTES or self._counter.is_long(()):
            request, tokens = await asyncio.to_thread(self._read, call, asked, by_prompt)
        else:
            request, tokens = self._read(call, asked, by_prompt)
        output = request.max_output
        if output is None:
            output = request.choices * self._max_output(call, rules, request.model, tokens)
        return Estimate(
            request.model,
            call.provider,
            _by_class(request, tokens, output),
            tier=request.tier,
            media=request.media,
            prompt=request.fingerprint if by_prompt else "",
        )

    def _read(self, call: ReserveCall, asked: ProviderRequest, by_prompt: bool) -> tuple[ProviderCall, int]:
        """The request, and its input in tokens."""
        if asked.cut:
            request = parse_part(asked.api, asked.body, asked.read, model=call.model)
        else:
            request = parse_request(asked.api, asked.body, model=call.model, by_prompt=by_prompt)
        if call.model and request.model != call.model:
            if call.provider != AZURE:
                raise InvalidArgument("model", "expected the model that request.body names, or none")
            request = request._replace(model=call.model)
        provider = call.provider or request.provider
        tokens = self._counter.count(request.model, provider, request.texts)
        tokens += request.extra_tokens + request.input_token_ids_count
        if asked.cut:
            tokens = -(-tokens * asked.body_bytes // max(1, len(asked.body)))
        return request, tokens

    def _max_output(self, call: ReserveCall, rules: Rules, model: str, given: int) -> int:
        """What is held for one answer to `given` tokens whose length the request leaves open."""
        policy = rules.policy
        number = policy.max_output_tokens
        if policy.output_rule is OutputRule.NUMBER:
            return number
        most = rules.ceilings.most_output(model, call.provider, given, number)
        if policy.output_rule is OutputRule.CEILING:
            return number if most is None else most
        learned = self._learned.max_output(call.tenant, model, call.subject.workflow)
        output = number if learned is None else learned
        return output if most is None else min(output, most)


def _by_class(request: ProviderCall, tokens: int, output: int) -> Usage:
    """The input in the dearest class that it may turn into."""
    if request.cache_write is CacheWrite.LONG:
        return Usage(cache_write_1h=tokens, output=output)
    if request.cache_write is CacheWrite.SHORT:
        return Usage(cache_write_5m=tokens, output=output)
    return Usage(input=tokens, output=output)


def cost_of(estimate: Estimate, price: Price | None) -> Cost:
    """What is held for it; nothing for a model without a price, which is refused.

    Raises:
        InvalidArgument: it is more than an amount can be.
    """
    if estimate.cost is not None:
        free = price is not None and price.free
        return Cost(0, estimate.cost.tokens) if free else estimate.cost
    assert estimate.usage is not None
    cost = Cost(price.hold_nano_usd(estimate.usage) if price else 0, estimate.usage.total)
    if max(cost) > MAX_AMOUNT:
        raise InvalidArgument("estimate", "expected at most 2^63 - 1 nano-dollars and tokens")
    return cost
