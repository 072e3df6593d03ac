import json
import threading
from collections.abc import Sequence

import pytest

from tallystick.core.errors import InvalidArgument
from tallystick.core.money import MAX_AMOUNT
from tallystick.core.policy import Policy
from tallystick.core.price import Price, Rate, free_price
from tallystick.core.subject import Subject
from tallystick.core.usage import Usage
from tallystick.engine.calls import Cost, ProviderRequest, ReserveCall, TokenEstimate
from tallystick.engine.estimates import LONG_BODY_BYTES, Estimate, Estimator, cost_of
from tallystick.engine.learned import Learned
from tallystick.engine.rules import Rules
from tallystick.providers.call import Api
from tallystick.tokens import TokenCounter

RULES = Rules(Policy("acme", max_output_tokens=77), lambda: 0)
PRICE = Price("v", Rate(1_000_000), Rate(100_000), Rate(2_000_000), Rate(3_000_000), Rate(10_000_000))


class WordCounter(TokenCounter):
    """Counts words, and remembers where."""

    def __init__(self, *, loaded: bool = True) -> None:
        super().__init__(preload=False)
        self._loaded = loaded
        self.threads: list[int] = []

    def is_long(self, texts: Sequence[str]) -> bool:
        return not self._loaded

    def count(self, model: str, provider: str, texts: Sequence[str]) -> int:
        self.threads.append(threading.get_ident())
        return sum(len(text.split()) for text in texts)


def call_of(estimate: TokenEstimate | Cost | ProviderRequest, model: str = "m") -> ReserveCall:
    return ReserveCall("acme", "r", "", Subject(), model, "", estimate)


def body(**fields: object) -> bytes:
    messages = [{"role": "user", "content": "one two three"}]
    return json.dumps({"model": "m", "messages": messages} | fields).encode()


async def estimate_of(api: Api, content: bytes, counter: TokenCounter | None = None) -> Estimate:
    estimator = Estimator(counter or WordCounter(), Learned())
    return await estimator.estimate(call_of(ProviderRequest(api, content)), RULES)


async def test_tokens_are_taken_as_said_and_the_output_from_the_policy_where_it_is_not() -> None:
    estimator = Estimator(WordCounter(), Learned())
    said = await estimator.estimate(call_of(TokenEstimate(5, 6)), RULES)
    assert said.usage == Usage(input=5, output=6)
    unsaid = await estimator.estimate(call_of(TokenEstimate(5, None)), RULES)
    assert unsaid.usage == Usage(input=5, output=77)
    cost = await estimator.estimate(call_of(Cost(3, 4)), RULES)
    assert (cost.usage, cost.cost) == (None, Cost(3, 4))


async def test_the_input_is_held_in_the_dearest_class_that_it_may_turn_into() -> None:
    chat = (await estimate_of(Api.OPENAI_CHAT, body(n=3))).usage
    assert chat is not None
    assert (chat.cache_write_5m > 3, chat.input, chat.output) == (True, 0, 3 * 77)
    lasting = {"cache_control": {"type": "ephemeral", "ttl": "1h"}, "type": "text", "text": "x"}
    messages = (await estimate_of(Api.ANTHROPIC_MESSAGES, body(max_tokens=9, system=[lasting]))).usage
    assert messages is not None
    assert (messages.cache_write_1h > 3, messages.input, messages.output) == (True, 0, 9)
    plain = (await estimate_of(Api.ANTHROPIC_MESSAGES, body(max_tokens=9))).usage
    assert plain is not None
    assert (plain.input > 3, plain.cache_write_5m, plain.cache_write_1h) == (True, 0, 0)


@pytest.mark.parametrize(
    ("content", "loaded", "apart"),
    [
        (body(), True, False),
        (body(), False, True),  # the first count loads the vocabularies
        (body(user="x" * LONG_BODY_BYTES), True, True),
    ],
)
async def test_what_takes_long_is_done_in_a_thread(content: bytes, loaded: bool, apart: bool) -> None:
    counter = WordCounter(loaded=loaded)
    await estimate_of(Api.OPENAI_CHAT, content, counter)
    assert (counter.threads != [threading.get_ident()]) == apart


async def test_a_body_that_names_another_model_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="model"):
        await estimate_of(Api.OPENAI_CHAT, body(model="another"))


def test_a_cost_is_rounded_up_once() -> None:
    price = Price("v", Rate(1), Rate(1), Rate(1), Rate(1), Rate(1))
    assert cost_of(Estimate("m", "", Usage(input=3, cache_read=4, output=5)), price) == (1, 12)
    assert cost_of(Estimate("m", "", Usage(input=2, output=1)), PRICE) == (12, 3)


def test_what_is_free_takes_no_money_and_its_tokens() -> None:
    free = free_price("v")
    assert cost_of(Estimate("m", "", Usage(input=2, output=1)), free) == (0, 3)
    assert cost_of(Estimate("m", "", None, Cost(50, 7)), free) == (0, 7)
    assert cost_of(Estimate("m", "", None, Cost(50, 7)), PRICE) == (50, 7)
    assert cost_of(Estimate("m", "", Usage(input=2)), None) == (0, 2)  # refused for lack of a price


@pytest.mark.contract(11)
def test_a_cost_is_at_most_what_an_amount_can_be() -> None:
    most = Usage(input=MAX_AMOUNT)
    cheap = Price("v", *(Rate(1_000_000),) * 5)
    assert cost_of(Estimate("m", "", most), cheap) == (MAX_AMOUNT, MAX_AMOUNT)
    with pytest.raises(InvalidArgument, match="estimate"):
        cost_of(Estimate("m", "", most), Price("v", *(Rate(1_000_001),) * 5))
    with pytest.raises(InvalidArgument, match="estimate"):
        cost_of(Estimate("m", "", most._replace(output=1)), free_price("v"))
