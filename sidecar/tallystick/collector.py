"""The garbage collector of a process that lives long."""

import gc


def spare_collections() -> None:
    """What is loaded at start lives as long as the process: the collector need not look at it.

    Calls leave little behind in cycles, so collections may be rarer, too.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
