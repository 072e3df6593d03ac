"""The cast: agents that work, and agents that have to be stopped."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import openai

from tallystick.demo.gateway import BudgetRefused, Gateway
from tallystick.v1.budget_pb2 import Refusal, Subject

CREDITS_CENTS = {
    "user": {"alice": 50, "bob": 50, "carol": 20, "dave": 20, "erin": 30, "fixbot": 20, "scout": 30}
    | {"grace": 40, "nora": 30},
    "team": {"platform": 50, "research": 40},
    "org": {"acme": 30},
}
"""What every wallet begins with."""

READERS = 3
"""How many calls scout makes at a time."""

MOST_TRIES = 50
"""When an agent that nothing stops gives up, and the demo has failed."""

HOUSE_RULES = (
    """You work for a small company that counts its money. Read the whole task before you begin, and
    say so when a part of it makes no sense. Prefer the plain word to the clever one. Do not change
    what you were not asked to change. Write a test first where there can be one, and make sure that
    it fails for the right reason. Never invent a name, a number or a source. When two ways are equally
    good, take the one that is easier to undo. Keep what you write short, and put the result first.
    When you are stuck, stop and ask, for every further try costs the same as the first one did. """
    * 12
)
"""A long system prompt: the second call that has it reads it from the provider's cache."""


class NeverStopped(Exception):
    """The sidecar let an agent go on that it had to stop."""


@dataclass(frozen=True)
class Stage:
    """What the agents have: a gateway for each region of the provider, and a voice."""

    gateway: Gateway
    region_down: Gateway
    region_overloaded: Gateway
    tell: Callable[[str], None]


Agent = Callable[[Stage], Coroutine[Any, Any, None]]


def cast(stage: Stage) -> list[Coroutine[Any, Any, None]]:
    """Everyone, each with the second at which they appear."""
    return [
        _enter(0.0, alice, stage),
        _enter(0.4, bob, stage),
        _enter(1.5, carol, stage),
        _enter(3.0, fixbot, stage),
        _enter(4.0, erin, stage),
        _enter(5.5, dave, stage),
        _enter(7.0, scout, stage),
    ]


async def alice(stage: Stage) -> None:
    """Write code all day, until the day's budget is spent."""
    who = Subject(org="acme", team="platform", user="alice", environment="dev", session="alice-1")
    for number in range(MOST_TRIES):
        try:
            await stage.gateway.complete(who, ask("demo-large", f"Write the tests of module {number}.", 600))
        except BudgetRefused as refused:
            _stopped(stage, refused, "BUDGET_EXHAUSTED", "alice has spent what a developer may in one day")
            return
        await asyncio.sleep(0.3)
    raise NeverStopped("alice")


async def bob(stage: Stage) -> None:
    """Read answers as they come, and close the window in the middle of the last one."""
    who = Subject(org="acme", team="platform", user="bob", environment="dev", session="bob-1")
    for topic in ("caching", "retries", "clocks"):
        async for _ in stage.gateway.stream(who, ask("demo-large", f"Explain {topic}.", 500)):
            pass
        await asyncio.sleep(0.5)
    last = stage.gateway.stream(who, ask("demo-large", "Explain everything.", 600))
    async with contextlib.aclosing(last):  # type: ignore[type-var]
        for _ in range(8):
            await anext(last)


async def carol(stage: Stage) -> None:
    """Work through a batch, and wait when told to."""
    who = Subject(org="acme", team="platform", user="carol", workflow="nightly", session="carol-1")
    for number in range(9):  # more than two windows let through
        body = ask("demo-small", f"Summarise report {number}.", 200)
        while True:
            try:
                await stage.gateway.complete(who, body)
                break
            except BudgetRefused as refused:
                if not refused.refusal.retryable:
                    raise
                await asyncio.sleep(_seconds(refused.refusal))


async def dave(stage: Stage) -> None:
    """Use a model that nobody priced; then try one region after another."""
    who = Subject(org="acme", team="platform", user="dave", environment="dev", session="dave-1")
    try:
        await stage.gateway.complete(who, ask("demo-preview", "Are you any good?", 300))
    except BudgetRefused as refused:
        _stopped(stage, refused, "PRICE_UNKNOWN", "a model without a price is never free by accident")
    body = ask("demo-small", "Review this change.", 500)
    for region in (stage.region_down, stage.region_overloaded, stage.gateway):
        with contextlib.suppress(openai.APIError):
            await region.complete(who, body)


async def erin(stage: Stage) -> None:
    """Write a book with the best model, until the cheaper one has to do."""
    who = Subject(org="acme", team="platform", user="erin", role="writer", session="erin-1")
    missing = 3  # chapters, once the best model writes no more
    for number in range(MOST_TRIES):
        answer = await stage.gateway.complete(who, ask("demo-max", f"Write chapter {number}.", 300))
        missing -= answer.model != "demo-max"
        if not missing:
            stage.tell("THE CHEAPER MODEL: erin's book is finished within her budget")
            return
        await asyncio.sleep(0.3)
    raise NeverStopped("erin")


async def fixbot(stage: Stage) -> None:
    """Send the same prompt again and again, because the build is still red."""
    who = Subject(org="acme", team="platform", user="fixbot", environment="ci", session="build-17")
    body = ask("demo-large", "The build is red. Fix it.", 200)
    for number in range(1, MOST_TRIES):
        try:
            await stage.gateway.complete(who, body)
        except BudgetRefused as refused:
            told = f"THE LOOP IS CUT: fixbot sends one and the same prompt, call {number}"
            _stopped(stage, refused, "RUNAWAY_LOOP", told)
            return
        await asyncio.sleep(0.2)
    raise NeverStopped("fixbot")


async def scout(stage: Stage) -> None:
    """Research without end, in parallel: out of its own wallet, its team's, the organisation's."""
    async with asyncio.TaskGroup() as group:
        for reader in range(READERS):
            group.create_task(_research(stage, reader))
    stage.tell("THE HARD STOP: no wallet of scout's cascade can pay another call")


async def _research(stage: Stage, reader: int) -> None:
    who = Subject(org="acme", team="research", user="scout", environment="prod", session=f"scout-{reader}")
    for number in range(MOST_TRIES):
        try:
            await stage.gateway.complete(who, ask("demo-large", f"Read source {number}-{reader}.", 600))
        except BudgetRefused as refused:
            _stopped(stage, refused, "INSUFFICIENT_FUNDS")
            return
    raise NeverStopped("scout")


def ask(model: str, question: str, max_tokens: int) -> dict[str, Any]:
    """Make the body of a request."""
    system = {"role": "system", "content": HOUSE_RULES}
    return {
        "model": model,
        "messages": [system, {"role": "user", "content": question}],
        "max_completion_tokens": max_tokens,
        "store": True,
    }


async def _enter(after_s: float, agent: Agent, stage: Stage) -> None:
    await asyncio.sleep(after_s)
    await agent(stage)


def _stopped(stage: Stage, refused: BudgetRefused, expected: str, told: str = "") -> None:
    if refused.reason != expected:
        raise refused
    if told:
        stage.tell(told)


def _seconds(refusal: Refusal) -> float:
    return refusal.retry_after.seconds + refusal.retry_after.nanos / 1e9
