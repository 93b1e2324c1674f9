"""How often Python looks for cycles among values that have none."""

import gc


def quiet_collector() -> None:
    """Keep the cyclic collector from walking all that was imported, again and again, for each batch.

    A batch makes tens of thousands of values that die by reference count; the collections they set
    off cost a fifth of a process's time and find nothing.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
