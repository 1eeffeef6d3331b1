"""Tell clients where they stand with their rate, as the IETF's draft on RateLimit header fields (httpapi) words it."""

from __future__ import annotations

from forebay.serving.access.errors import Rate, TooManyRequests
from forebay.serving.web.response import Headers


def rate_headers(rate: Rate) -> Headers:
    """Renders the policy, and what is left of it."""
    return [
        (b"ratelimit-policy", b'"requests";q=%d;w=%d' % (rate.burst, rate.window_s)),
        (b"ratelimit", b'"requests";r=%d;t=%d' % (rate.left, rate.reset_s)),
    ]


def retry_after(error: TooManyRequests) -> tuple[bytes, bytes]:
    """Renders when another attempt makes sense."""
    return b"retry-after", b"%d" % max(error.wait_s, 1)
