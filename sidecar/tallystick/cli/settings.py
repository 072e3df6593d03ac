"""The settings of a command: what its options say, over what the environment says."""

from typing import TYPE_CHECKING, Any

from tallystick.cli.exits import CommandError, ExitCode

if TYPE_CHECKING:
    from tallystick.config import Settings

OPTIONS = {"policy_files": "--policy"}
"""Options that are not called as the setting is."""


def read_settings(**overrides: Any) -> "Settings":
    """Read the settings; `overrides`, by field name, are options of the command line.

    Raises:
        CommandError: names each wrong option or variable and what was expected.

    """
    from tallystick.config import PREFIX, ConfigError, load_settings

    try:
        return load_settings(**overrides)
    except ConfigError as error:
        problems = list(error.problems)
        for field in overrides:
            option = OPTIONS.get(field, "--" + field.replace("_", "-"))
            variable = f"{PREFIX}{field.upper()}:"
            problems = [problem.replace(variable, f"{option}:", 1) for problem in problems]
        raise CommandError(ExitCode.USAGE, *problems) from None
