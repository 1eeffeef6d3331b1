"""Gives every process logs, pages, an exit status, and a watchdog that ends it when it hangs.

Knows neither broker nor store.
"""
