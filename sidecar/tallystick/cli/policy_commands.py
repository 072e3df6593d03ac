"""The commands of `tallystick policy`, with their examples."""

import typer

from tallystick.cli.options import register
from tallystick.cli.policies import validate
from tallystick.cli.policy_life import apply, diff, history, rollback, show_policy
from tallystick.cli.policy_shadows import apply_shadow, clear, report, show_shadow

POLICY_HELP = "Check a policy, compare it, put it in force, show those that are kept, and go back."
SHADOW_HELP = "A second policy, decided beside the one in force and never enforced."


def add_policy_commands(group: typer.Typer, shadow: typer.Typer) -> None:
    """Make them commands of this group, and those about shadows commands of the other."""
    register(shadow, apply_shadow, "tallystick policy shadow apply trial.yaml", name="apply")
    register(shadow, show_shadow, "tallystick policy shadow show acme", name="show")
    register(shadow, report, "tallystick policy shadow report acme --limit 20")
    register(shadow, clear, "tallystick policy shadow clear acme")
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
