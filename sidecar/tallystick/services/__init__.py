"""gRPC adapters: they translate, and never decide."""
