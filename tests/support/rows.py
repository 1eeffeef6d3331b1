"""Rows in a store."""


def written(store, writes, *args):
    """What became of rows that were sent to be written, nothing else done meanwhile."""
    store.send(writes, *args)
    return store.answers()
