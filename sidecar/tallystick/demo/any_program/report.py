"""The first and the last words of the demo with Envoy."""

from pathlib import Path

from rich.text import Text

from tallystick.demo.screen import Screen

NEXT = (
    ("tallystick gateway --provider openai \\", "your own gateway, with your"),
    ("    --key openai=env:OPENAI_API_KEY", "provider's key held by Envoy"),
    ("tallystick key create acme alice --apply", "a key for one; --help tells more"),
    ("tallystick demo", "a program that reserves by itself"),
)
TO_READ = (
    ("policy.yaml", "what the programs may spend"),
    ("programs.py", "the programs: two values changed"),
)


def introduce(screen: Screen) -> None:
    """Say what is about to be seen."""
    say = screen.say
    say(Text("Any program is under budget, by its base_url.", "bold"))
    say("A gateway (sidecar, store and Envoy), six programs that use the official OpenAI")
    say("and Anthropic SDKs as they come, a guest with a key that nobody made, and two")
    say("stand-in providers. All of it runs on this machine and is gone afterwards.")


def show_change(screen: Screen, url: str) -> None:
    """Show what was changed in a program, and what the lines to come are."""
    say = screen.say
    say("All that was changed in a program:\n")
    say(Text(f'  base_url="{url}/openai/v1"', "green"))
    say(Text('  api_key="tally-demo-…"', "green"))
    say("\nEach line is a call that has ended, as the ledger has it, or that was refused.\n")


def what_next(screen: Screen, policy: Path) -> None:
    """Name what to try and what to read."""
    say = screen.say
    say(Text("\nNext", "bold"))
    for command, what in NEXT:
        say(f"  {command:<42} {what}")
    say(Text("\nTo read", "bold"))
    say(f"  in {policy.parent}")
    for name, what in TO_READ:
        say(f"  {name:<42} {what}")
    say(f"  {'docs/guides/gateway.md':<42} the gateway in full")
