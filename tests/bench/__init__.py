"""`make bench`: what a decision costs, measured against a server that decides nothing.

`python -m tests.bench` runs it; docs/reference/benchmarks.md says how to read it.
"""
