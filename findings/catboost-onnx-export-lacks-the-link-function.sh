#!/usr/bin/env bash
# CatBoost 1.2.10: its ONNX export of Poisson, Tweedie and MultiClassOneVsAll models leaves out what predict() applies.
#
# Guess: the export of a model scores as `predict` and `predict_proba` do, as it does for Logloss, MultiClass,
# CrossEntropy, RMSE, MAE, Quantile, Huber; what can't be exported raises, as lossguide trees and a scale do.
# Seen: Poisson and Tweedie models give the logarithm of the prediction; MultiClassOneVsAll gives a softmax where
# predict_proba gives one sigmoid per class. Neither raises or warns. A regressor's output is declared as (N,) and comes
# as (N, 1).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check catboost==1.2.10 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
import catboost
import numpy as np
import onnxruntime

random = np.random.default_rng(0)
rows = random.normal(size=(1000, 4)).astype(np.float32)
amount = np.exp(rows[:, 0] * 0.5)
options = {"iterations": 25, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
quiet = onnxruntime.SessionOptions()
quiet.log_severity_level = 3


def exported(trained):
    trained.save_model("model.onnx", format="onnx")
    session = onnxruntime.InferenceSession("model.onnx", quiet)
    return session.run(None, {session.get_inputs()[0].name: rows})[-1], session.get_outputs()[-1].shape


for loss in ("RMSE", "MAE", "Huber:delta=1"):
    trained = catboost.CatBoostRegressor(loss_function=loss, **options).fit(rows, amount)
    found, declared = exported(trained)
    assert np.abs(found.ravel() - trained.predict(rows)).max() < 1e-5, loss
print(f"declared {declared}, returned {found.shape}")
assert declared == ["N"] and found.shape == (1000, 1)
for loss in ("Poisson", "Tweedie:variance_power=1.5"):
    trained = catboost.CatBoostRegressor(loss_function=loss, **options).fit(rows, amount)
    found = exported(trained)[0].ravel()
    print(f"{loss}: off by up to {np.abs(found - trained.predict(rows)).max():.2f}")
    assert np.abs(np.exp(found) - trained.predict(rows)).max() < 1e-4
    assert np.abs(found - trained.predict(rows)).max() > 0.5
for loss, kept in (("MultiClass", True), ("MultiClassOneVsAll", False)):
    trained = catboost.CatBoostClassifier(loss_function=loss, **options).fit(rows, random.integers(0, 3, 1000))
    found = np.array([[each[label] for label in range(3)] for each in exported(trained)[0]])
    apart = np.abs(found - trained.predict_proba(rows)).max()
    print(f"{loss}: off by up to {apart:.3f}; rows add up to {found.sum(axis=1).min():.3f} or more")
    assert bool(apart < 1e-5) is kept
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
PY
