"""A provider that streams: `python -m tests.bench.envoy.provider PORT`, in a process of its own."""

import asyncio
import sys

import uvloop

from tests.bench.envoy.workload import SCRIPTS
from tests.e2e.envoy.provider import ScriptedProvider


async def serve(port: int) -> None:
    """Serves until it is killed."""
    provider = ScriptedProvider()
    provider.scripts.update(SCRIPTS)
    await provider.start(port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
