#!/usr/bin/env bash
# onnxmltools 1.16.0 with XGBoost 3.2.0: regressors of `reg:logistic` and of several targets convert to other models.
#
# Guess: the objective's link function and every target are in the ONNX model, as they are for `count:poisson`,
# `reg:gamma` and `reg:tweedie`.
# Seen: `reg:logistic` gives a number that is no probability (beyond 0 to 1), and the sigmoid of it is not the prediction
# either, since the base score is not what XGBoost takes. Of two targets, trained as one tree per target, the second is
# 0 in every row and the first is wrong. Neither raises or warns.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps xgboost-cpu==3.2.0
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxmltools==1.16.0 onnxruntime==1.32.0 onnx==1.23.2 \
    skl2onnx==1.20.0 scikit-learn==1.9.1 numpy==2.4.6
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import onnxruntime
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

random = np.random.default_rng(0)
rows = random.normal(size=(2000, 4)).astype(np.float32)
yes = (rows[:, 0] + 0.5 * random.normal(size=2000) > 0.3).astype(int)
amount = np.exp(rows[:, 0] * 0.5)


def scored(labels, **parameters):
    trained = xgboost.XGBRegressor(n_estimators=30, max_depth=3, n_jobs=1, **parameters).fit(rows, labels)
    model = convert_xgboost(trained, initial_types=[("f", FloatTensorType([None, 4]))], target_opset=15)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"f": rows})[0], trained.predict(rows)


for objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
    found, expected = scored(amount, objective=objective)
    assert np.abs(found.ravel() - expected).max() < 1e-5, objective
found, expected = scored(yes, objective="reg:logistic")
found = found.ravel()
sigmoid = 1 / (1 + np.exp(-found))
print(f"reg:logistic: from {found.min():.2f} to {found.max():.2f}; predicted from {expected.min():.2f} to {expected.max():.2f}")
print(f"its sigmoid differs from the prediction by up to {np.abs(sigmoid - expected).max():.2f}")
assert found.min() < 0 and found.max() > 1
assert np.abs(sigmoid - expected).max() > 0.01
found, expected = scored(np.stack([amount, rows[:, 1]], axis=1))
print(f"two targets: first off by up to {np.abs(found[:, 0] - expected[:, 0]).max():.2f}, second {np.unique(found[:, 1])}")
assert np.abs(found[:, 0] - expected[:, 0]).max() > 0.1
assert (found[:, 1] == 0).all()
PY
