"""Reads a policy document (YAML text) into `core.policy.Policy`."""

from tallystick.policyfile.load import find_problems, load_policy

__all__ = ["find_problems", "load_policy"]
