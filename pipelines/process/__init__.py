"""What every process needs, whatever it does: to notice that it hangs, to say so, and to end so that it is restarted.

Knows neither broker nor store.
"""
