"""Decides on AI spend before it happens."""
