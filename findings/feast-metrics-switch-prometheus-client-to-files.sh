#!/usr/bin/env bash
# feast 0.67.0 with prometheus_client 0.24.1: importing Feast's feature server turns prometheus_client to files for the
# whole process, and metrics of others lose what they had.
#
# Guess: feast.metrics keeps its multiprocess files to itself, or begins with them when its metrics server is started; a
# program that imports Feast and has counters of its own sees them as before.
# Seen: `import feast.metrics` sets PROMETHEUS_MULTIPROC_DIR to a new temporary folder. What follows depends on the order
# of imports. Where Feast comes first, counters of the whole process are kept in files there. Where prometheus_client
# comes first, they stay in memory and remove() of a label set works, but warns that it does not, even on a counter
# made before: with warnings as errors it raises.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check feast==0.67.0 prometheus_client==0.24.1
cat >"$work/look.py" <<'PY'
import os
import sys
import warnings

if sys.argv[1] == "prometheus_client":
    import prometheus_client
import feast.metrics
from prometheus_client import CollectorRegistry, Counter, generate_latest

folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
registry = CollectorRegistry()
counter = Counter("read", "Records read.", ["topic"], registry=registry)
counter.labels("orders").inc()
in_files = any(b"orders" in open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    counter.remove("orders")
print("files" if in_files else "memory", len(told), "shown" if b"orders" in generate_latest(registry) else "gone")
PY
for first in feast prometheus_client; do
    seen=$(env -u PROMETHEUS_MULTIPROC_DIR -u PROMETHEUS_MULTIPROCESS_DIR TMPDIR="$work" \
        "$work/venv/bin/python" "$work/look.py" "$first" 2>/dev/null)
    echo "$first first: kept in, warnings, after remove(): $seen"
    case $first in
        feast) [[ $seen == "files 1 gone" ]] ;;
        *) [[ $seen == "memory 1 gone" ]] ;;
    esac
done
