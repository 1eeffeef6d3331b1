"""Prometheus metrics of access. No label names a principal: there may be any number of them."""

from __future__ import annotations

from forebay.pipelines.adapters.harmless import Counter

REFUSED = Counter("forebay_access_refused_total", "Requests that were not let in.", ["door", "reason"])
UNWRITTEN = Counter("forebay_audit_unwritten_total", "Lines of the audit log that were lost.")
