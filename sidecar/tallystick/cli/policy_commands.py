"""The commands of `tallystick policy`, with their examples."""

import typer

from tallystick.cli.options import register
from tallystick.cli.policies import validate
from tallystick.cli.policy_life import apply, diff, history, rollback, show_policy

HELP = "Check a policy, compare it, put it in force, show those that are kept, and go back."


def add_policy_commands(group: typer.Typer) -> None:
    """Make them commands of this group."""
    register(group, validate, "tallystick policy validate acme.yaml")
    register(group, diff, "tallystick policy diff acme.yaml")
    register(
        group,
        apply,
        "tallystick policy apply acme.yaml --expect 3 --comment 'less at night'",
        "tallystick policy apply acme.yaml --dry-run",
    )
    register(
        group,
        show_policy,
        "tallystick policy show acme",
        "tallystick policy show acme --version 2",
        name="show",
    )
    register(group, history, "tallystick policy history acme")
    register(
        group,
        rollback,
        "tallystick policy rollback acme --comment 'too tight'",
        "tallystick policy rollback acme --to 2",
    )
