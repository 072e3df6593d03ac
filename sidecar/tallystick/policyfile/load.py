"""From text to policy: the tree, its shape, its rules, and then the policy."""

from itertools import islice

from pydantic import ValidationError

from tallystick.core.errors import InvalidPolicy
from tallystick.core.policy import Policy
from tallystick.policyfile.build import build_policy
from tallystick.policyfile.document import Document
from tallystick.policyfile.problems import in_order, problem, schema_problems
from tallystick.policyfile.rules import broken_rules
from tallystick.policyfile.tree import read_tree

MAX_BROKEN_RULES = 100
"""How many broken rules are looked for: nobody reads more, and each takes time."""


def load_policy(text: str, version: int = 0) -> Policy:
    """Read a policy document.

    Args:
        text: one YAML document of at most `tree.MAX_BYTES`.
        version: the number that the store gives to the policy and its prices.

    Raises:
        InvalidPolicy: the first problem in the text, with its line and column.

    """
    checked = _check(text)
    if isinstance(checked, list):
        raise checked[0]
    return build_policy(checked, version)


def find_problems(text: str) -> list[InvalidPolicy]:
    """Find every problem of a policy document, in the order of the text.

    Text that is not YAML has one problem; rules between the parts are checked
    once each part is well-formed.
    """
    checked = _check(text)
    return checked if isinstance(checked, list) else []


def _check(text: str) -> Document | list[InvalidPolicy]:
    """Read a document, or find what is wrong with it."""
    try:
        root = read_tree(text)
    except InvalidPolicy as error:
        return [error]
    try:
        document = Document.model_validate(root.plain())
    except ValidationError as error:
        return schema_problems(error, root)
    broken = islice(broken_rules(document), MAX_BROKEN_RULES)
    problems = [problem(root, loc, expected) for loc, expected in broken]
    return in_order(problems) if problems else document
