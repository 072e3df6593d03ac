"""What is known of how long answers are, in memory; read it beside `lua/learn.lua`."""

from collections.abc import Mapping

from tallystick.core.learning import IDLE_MS, MOST_PAIRS, Counts, Pair, merge, pack, unpack
from tallystick.store.memory_partition import Partition


def learn(p: Partition, tenant: str, news: Mapping[Pair, Counts]) -> dict[Pair, Counts]:
    """See `Store.learn`."""
    p.end_due(4)
    index = f"{tenant}:q"
    known = {pair: unpack(p.hold.get(f"{index}:{pair.name}", "")) for pair in news}
    merged = {pair.name: merge(known[pair], counts) for pair, counts in news.items() if counts}
    newcomers = {pair.name for pair, counts in news.items() if counts and not known[pair]}
    dropped: set[str] = set()
    if merged:
        p.wrote()
        p.schedule(f"a:{index}", p.now_ms + IDLE_MS + 1)  # never before a pair
    if newcomers:
        names = set(p.hold.get(index, "").split("\n")) - {""} | newcomers
        for name in _least_used(p, index, names, merged, newcomers):
            names.discard(name)
            dropped.add(name)
            p.hold.pop(f"{index}:{name}", None)
            p.due.pop(f"a:{index}:{name}", None)
        p.hold[index] = "\n".join(sorted(names))
    found: dict[Pair, Counts] = {}
    for pair in news:
        if pair.name in merged and pair.name not in dropped:
            p.hold[f"{index}:{pair.name}"] = pack(merged[pair.name])
            p.schedule(f"a:{index}:{pair.name}", p.now_ms + IDLE_MS)
        if pair.name not in dropped and (counts := merged.get(pair.name, known[pair])):
            found[pair] = counts
    return found


def _least_used(
    p: Partition, index: str, names: set[str], merged: dict[str, Counts], newcomers: set[str]
) -> list[str]:
    """The names that there is no room for; a newcomer goes after those that are as little used."""

    def rank(name: str) -> tuple[int, bool, str]:
        counts = merged.get(name) or unpack(p.hold.get(f"{index}:{name}", ""))
        return -sum(counts.values()), name not in newcomers, name

    return sorted(names, key=rank)[MOST_PAIRS:]
