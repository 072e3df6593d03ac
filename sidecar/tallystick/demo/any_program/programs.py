"""The programs. Each uses the official SDK of its provider with a `base_url` and a key, and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import anthropic
import openai

from tallystick.demo.agents import MOST_TRIES, NeverStopped
from tallystick.demo.any_program.ledger import all_settled
from tallystick.demo.screen import Call, Screen, money

SUBJECTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "mail": {"user": "mail", "team": "office"},
        "chat": {"user": "chat", "team": "office"},
        "poet": {"user": "poet", "team": "office"},
        "writer": {"user": "writer", "team": "office", "role": "writer"},
        "script": {"user": "script", "team": "ops", "role": "script"},
        "scout": {"user": "scout", "team": "research"},
    }
)
"""Who each of them is, by its key."""

LOOP_CALLS = 100
LET_THROUGH = 5
"""Of calls of $0.18, with $1.00."""
READERS = 3
"""How many streams scout has open at a time."""
Refused = openai.APIStatusError | anthropic.APIStatusError


@dataclass(frozen=True)
class Street:
    """Where the gateway is, and the key of each program."""

    url: str
    keys: Mapping[str, str]
    screen: Screen

    def openai(self, program: str) -> openai.AsyncOpenAI:
        """Make OpenAI's client, as the program did before, with two other values."""
        return openai.AsyncOpenAI(base_url=f"{self.url}/openai/v1", api_key=self.keys[program])

    def anthropic(self, program: str) -> anthropic.AsyncAnthropic:
        """Make Anthropic's."""
        return anthropic.AsyncAnthropic(base_url=f"{self.url}/anthropic", api_key=self.keys[program])

    async def refused(self, program: str, model: str, error: Refused) -> None:
        """Show what the SDK raised, with the sentence that was sent for it; after what came before it."""
        await all_settled(self.screen, program)
        told: Any = error.body
        told = told.get("error", told) if isinstance(told, dict) else {}
        what = f"{type(error).__name__} {error.status_code}"
        self.screen.refused(Call(program, model, 0, ""), what, str(told.get("message", error.message)))


def cast(street: Street) -> list[Coroutine[Any, Any, None]]:
    """Everyone, each with the second at which they appear."""
    return [
        _enter(0.0, script, street),
        _enter(0.5, mail, street),
        _enter(1.0, chat, street),
        _enter(2.0, guest, street),
        _enter(2.5, poet, street),
        _enter(3.5, writer, street),
        _enter(5.0, scout, street),
    ]


async def mail(street: Street) -> None:
    """Sort letters: OpenAI's SDK, JSON."""
    async with street.openai("mail") as client:
        for number in range(4):
            await client.chat.completions.create(**_ask("demo-small", f"Sort letter {number}.", 200))


async def chat(street: Street) -> None:
    """Talk to somebody: OpenAI's SDK, streams, that never asked for their usage."""
    async with street.openai("chat") as client:
        for topic in ("tea", "rain", "trains"):
            ask = _ask("demo-large", f"Talk about {topic}.", 300)
            async with await client.chat.completions.create(**ask, stream=True) as chunks:
                async for _ in chunks:
                    pass


async def poet(street: Street) -> None:
    """Write verses: Anthropic's SDK, JSON."""
    async with street.anthropic("poet") as client:
        for season in ("spring", "summer", "autumn", "winter"):
            await client.messages.create(**_tell("demo-voice", f"A verse about {season}.", 200))


async def writer(street: Street) -> None:
    """Write a book with the best model, until a cheaper one has to do."""
    missing = 3  # chapters, once the best model writes no more
    async with street.openai("writer") as client:
        for number in range(MOST_TRIES):
            answer = await client.chat.completions.create(**_ask("demo-max", f"Write chapter {number}.", 300))
            missing -= answer.model != "demo-max"
            if not missing:
                await all_settled(street.screen, "writer")
                street.screen.tell("THE CHEAPER MODEL: writer's book is finished within its budget")
                return
    raise NeverStopped("writer")


async def script(street: Street) -> None:
    """Ask a hundred times, whatever comes back, for nobody is looking."""
    through, refused = 0, 0
    async with street.openai("script") as client:
        for _ in range(LOOP_CALLS):
            try:
                await client.chat.completions.create(**_ask("demo-giant", "The build is red again.", 298))
                through += 1
            except openai.RateLimitError as error:
                if not refused:
                    await street.refused("script", "demo-giant", error)
                refused += 1
    if (through, refused) != (LET_THROUGH, LOOP_CALLS - LET_THROUGH):
        raise NeverStopped(f"script: {through} let through, {refused} refused")
    spent = money(street.screen.charged("script"), 2)
    told = f"{refused} of {LOOP_CALLS} calls of $0.18 refused"
    street.screen.tell(f"THE LOOP IS CUT at {spent} of $1.00: {told}")


async def scout(street: Street) -> None:
    """Read without end, several sources at a time, out of its team's wallet: Anthropic's SDK, streams."""
    async with street.anthropic("scout") as client, asyncio.TaskGroup() as group:
        for reader in range(READERS):
            group.create_task(_read(street, client, reader))
    street.screen.tell("THE HARD STOP: the wallet of scout's team can't pay another call")


async def _read(street: Street, client: anthropic.AsyncAnthropic, reader: int) -> None:
    for number in range(MOST_TRIES):
        ask = _tell("demo-voice", f"Read source {number}-{reader}.", 600)
        try:
            async with client.messages.stream(**ask) as stream:
                await stream.get_final_message()
        except anthropic.APIStatusError as error:
            if error.status_code != 402:
                raise
            await street.refused("scout", "demo-voice", error)
            return
    raise NeverStopped("scout")


async def guest(street: Street) -> None:
    """Come with a key that nobody made."""
    async with openai.AsyncOpenAI(base_url=f"{street.url}/openai/v1", api_key="sk-found-somewhere") as client:
        try:
            await client.chat.completions.create(**_ask("demo-large", "Am I let in?", 100))
        except openai.AuthenticationError as error:
            await street.refused("guest", "demo-large", error)
            return
    raise NeverStopped("guest")


def _ask(model: str, question: str, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_completion_tokens": max_tokens}


def _tell(model: str, question: str, max_tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_tokens": max_tokens}


Program = Callable[[Street], Coroutine[Any, Any, None]]


async def _enter(after_s: float, program: Program, street: Street) -> None:
    await asyncio.sleep(after_s)
    await program(street)
