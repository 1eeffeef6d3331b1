#!/usr/bin/env bash
# skl2onnx 1.20.0 with scikit-learn 1.9.1: five kinds of estimators convert without a word, and answer something else.
#
# Guess: what converts scores as scikit-learn does, but for the rounding of float32; what the converter can't do raises.
# Seen, on 300 rows of noise:
# - LinearDiscriminantAnalysis of two classes: a softmax over (-d, d), that is the sigmoid of twice the decision value d,
#   where scikit-learn takes the sigmoid of d: probabilities differ by up to 0.15, labels do not.
# - KNeighbors*(weights="distance"): other numbers with two neighbours or more; with one they agree. By up to 0.2 in
#   probabilities and 0.5 in a regression.
# - CalibratedClassifierCV(method="isotonic"): one row in six to one in three has another probability, by up to 0.13.
# - SGDClassifier(loss="modified_huber") of three classes: probabilities agree to the bit, but the label is the class with
#   the greatest of them, and scikit-learn's is the class with the greatest decision value.
# - BaggingClassifier over LinearSVC, SVC or RidgeClassifier: one answer per bagged estimator instead of one per row.
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
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import LinearSVC

random, quiet = np.random.default_rng(0), onnxruntime.SessionOptions()
quiet.log_severity_level = 3
known, rows = (random.normal(size=(count, 4)).astype(np.float32) for count in (400, 300))
two = (known[:, 0] + known[:, 1] + 0.3 * random.normal(size=400) > 0).astype(int)
three = np.digitize(known[:, 0] + 0.5 * known[:, 1], [-0.7, 0.7])
target = known[:, 0] * 3 + known[:, 1] ** 2


def converted(estimator):
    options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
    model = to_onnx(estimator, known[:1], options=options).SerializeToString()
    return onnxruntime.InferenceSession(model, quiet).run(None, {"X": rows})


def apart(found, wanted):
    """The largest difference, and how many rows differ by more than a thousandth."""
    differences = np.abs(found.reshape(wanted.shape) - wanted).reshape(len(wanted), -1).max(axis=1)
    return differences.max(), int((differences > 1e-3).sum())


plain = LogisticRegression().fit(known, three)
assert apart(converted(plain)[1], plain.predict_proba(rows))[1] == 0
lda = LinearDiscriminantAnalysis().fit(known, two)
labels, found = converted(lda)
print("LinearDiscriminantAnalysis:", apart(found, lda.predict_proba(rows)))
assert apart(found, lda.predict_proba(rows))[0] > 0.1
assert np.abs(found[:, 1] - 1 / (1 + np.exp(-2 * lda.decision_function(rows)))).max() < 1e-5
assert (labels == lda.predict(rows)).all()
for neighbours, agree in ((1, True), (2, False), (5, False)):
    near = KNeighborsClassifier(neighbours, weights="distance").fit(known, three)
    number = KNeighborsRegressor(neighbours, weights="distance").fit(known, target)
    off = apart(converted(near)[1], near.predict_proba(rows)), apart(converted(number)[0], number.predict(rows))
    print(f"{neighbours} neighbours by distance:", *off)
    assert all((each[1] == 0) is agree for each in off)
for base in (GaussianNB(), LogisticRegression()):
    for classes in (two, three):
        calibrated = CalibratedClassifierCV(base, method="isotonic").fit(known, classes)
        off = apart(converted(calibrated)[1], calibrated.predict_proba(rows))
        print(f"isotonic over {base}:", off)
        assert off[1] > 30
huber = SGDClassifier(loss="modified_huber", random_state=0).fit(known, three)
labels, found = converted(huber)
print("modified_huber, other labels:", int((labels != huber.predict(rows)).sum()), apart(found, huber.predict_proba(rows)))
assert (labels == huber.predict_proba(rows).argmax(axis=1)).all() and (labels != huber.predict(rows)).sum() > 30
assert apart(found, huber.predict_proba(rows))[1] == 0
bagged = BaggingClassifier(LinearSVC(), n_estimators=5, random_state=0).fit(known, three)
print("BaggingClassifier over LinearSVC:", [each.shape for each in converted(bagged)], "for", bagged.predict(rows).shape)
assert [each.shape for each in converted(bagged)] == [(5,), (5, 3)]
PY
