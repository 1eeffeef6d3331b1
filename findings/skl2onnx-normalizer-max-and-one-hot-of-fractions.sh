#!/usr/bin/env bash
# skl2onnx 1.20.0 with scikit-learn 1.9.1: two transformers convert without a word and make other features.
#
# Guess: what scikit-learn's transformers do to a row, their converted form does too.
# Seen:
# - Normalizer(norm="max") divides by the greatest value instead of the greatest absolute value, which is what ONNX's
#   Normalizer is specified to do: in a row whose values are all negative every sign turns, and [-3, -1] becomes [3, 1].
# - OneHotEncoder(handle_unknown="ignore") of a float column cuts fractions off before it looks up: 1.7 is category 1,
#   where scikit-learn says that it is unknown.
# The other 34 transformers and settings that were tried (scalers, encoders, discretizers, power and quantile transforms,
# decompositions) agree to a thousandth, or do not convert.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.preprocessing import MaxAbsScaler, Normalizer, OneHotEncoder

quiet = onnxruntime.SessionOptions()
quiet.log_severity_level = 3


def both(transformer, fitted_on, rows):
    """What scikit-learn and ONNX Runtime make of some rows."""
    fitted_on, rows = np.array(fitted_on, np.float32), np.array(rows, np.float32)
    transformer.fit(fitted_on)
    model = to_onnx(transformer, fitted_on[:1]).SerializeToString()
    found = onnxruntime.InferenceSession(model, quiet).run(None, {"X": rows})[-1]
    print(f"{transformer}: {transformer.transform(rows).tolist()} in scikit-learn, {found.tolist()} converted")
    return transformer.transform(rows), found


wanted, found = both(MaxAbsScaler(), [[-4, 2]], [[-3, 1]])
assert np.allclose(wanted, found)
wanted, found = both(Normalizer(norm="max"), [[1, 1]], [[-3, -1], [-4, 2], [1, 4]])
assert np.allclose(wanted, [[-1, -1 / 3], [-1, 0.5], [0.25, 1]]) and np.allclose(found, [[3, 1], [-2, 1], [0.25, 1]])
wanted, found = both(OneHotEncoder(handle_unknown="ignore", sparse_output=False), [[0], [1], [2]], [[1.7], [3], [1]])
assert wanted.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]] and found.tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]
PY
