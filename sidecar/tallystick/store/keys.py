"""The keyspace: every key that Tallystick writes, and the fields in it.

`{p}` is the hash tag of a partition, `{t.17}`: all keys of a partition lie in
one slot. A tenant hashes to one partition; every script takes all seven keys.

    ts:{p}:meta    hash    seq, epoch, clock (ms), open (holds), policy:TENANT (version in
                           force), suspended:TENANT (`lua/suspend.lua`), frozen
                           (`lua/freeze.lua`), touched (`confirming`); in partition
                           0 also schema, partitions, tally_key,
                           token:TENANT:NAME → a token's record (`core.callers`; `*` for
                           every tenant), tokens → the stamp of their last change;
                           shadow:TENANT → the namespace of its shadow policy
                           (`core.shadow`), which stands where a tenant's name does;
                           shadows → the stamp of their last change;
                           time (a seam for tests)
    ts:{p}:count   hash    every counter; `core.counters` names the fields
    ts:{p}:hold    hash    TENANT:r:ID → a hold's record (`core.hold`), or a charge's;
                           TENANT:c:ID → a move of funds that was made;
                           TENANT:e:ID<tab>EXTENSION → an extension that was made;
                           TENANT:q:MODEL:WORKFLOW → how long answers are (`lua/learn.lua`);
                           TENANT:q → the tenant's models and workflows of which that is known
    ts:{p}:due     zset    what ends, by Unix ms: r:FIELD, a:FIELD, w:COUNTER,
                           b:COUNTER:s@N, l:COUNTER, t:FIELD (`lua/_due.lua`)
    ts:{p}:log     stream  the ledger, ids EPOCH-SEQ
    ts:{p}:policy  hash    TENANT:VERSION → the policy document, of the newest versions;
                           TENANT:VERSION:n → when, by whom, and why (`lua/apply_policy.lua`)
    ts:{p}:ticket  hash    TENANT:t:ID → a ticket's record (`core.tickets`);
                           a budget's counter → the id of its latest ticket
"""

from zlib import crc32

SCHEMA = "3"
"""What stands here; a store with another is refused."""

OF_TOKENS = 0
"""The partition that keeps tokens, and whose ledger tells of them."""
OF_SHADOWS = 0
"""The partition that keeps who has a shadow, and whose ledger tells of it."""

KINDS = ("meta", "count", "hold", "due", "log", "policy", "ticket")


def partition_of(tenant: str, partitions: int) -> int:
    """The partition of a tenant."""
    return crc32(tenant.encode()) % partitions


def hash_tag(partition: int) -> str:
    """What of its keys says in which slot of a cluster they lie."""
    return f"t.{partition}"


def partition_keys(partition: int) -> tuple[str, ...]:
    """The keys of a partition, in the order in which scripts take them."""
    return tuple(f"ts:{{{hash_tag(partition)}}}:{kind}" for kind in KINDS)
