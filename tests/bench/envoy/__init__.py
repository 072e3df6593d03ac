"""`make bench-envoy`: what a call through Envoy costs, beside handlers that decide nothing.

`python -m tests.bench.envoy` runs it; docs/reference/benchmarks.md says how to read it.

    rounds ─┬─ chains: Envoys, plain, with handlers that do nothing, with the sidecar
            ├─ json_calls, streams: one measurement
            └─ proofs: what the sidecar and its ledger have counted
"""
