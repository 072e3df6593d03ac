"""Operator commands. They speak gRPC to a sidecar, and never to its store."""
