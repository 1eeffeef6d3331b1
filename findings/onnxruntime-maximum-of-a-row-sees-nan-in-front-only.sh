#!/usr/bin/env bash
# onnxruntime 1.32.0: whether a missing value (NaN) is noticed depends on the operator, and on where in the row it stands.
#
# Guess: NaN goes through every arithmetic operator, as in numpy, so that a model with a missing feature answers NaN.
# Seen: ReduceMax and ReduceMin give NaN where it is the row's first value, and ignore it anywhere else. ArgMax and ArgMin
# find it in front only, too, and Hardmax gives a class. Sign, Relu, Sigmoid, Round, Softmax and ReduceMean do pass it on.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

nan = float("nan")


def of(operator, values, outputs=1, integers=False, **options):
    """The last output of an operator on one row of floats."""
    kind = TensorProto.INT64 if integers else TensorProto.FLOAT
    names = [f"y{at}" for at in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], names, **options)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, None])],
        [helper.make_tensor_value_info(names[-1], kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    found = session.run(None, {"x": np.array([values], np.float32)})[0].ravel().tolist()
    print(operator, values, "->", found)
    return found


front, middle, back = [nan, 1, 3], [1, nan, 3], [1, 3, nan]
for operator, known in (("ReduceMax", 3), ("ReduceMin", 1)):
    assert np.isnan(of(operator, front, axes=[1], keepdims=0)[0])
    assert of(operator, middle, axes=[1], keepdims=0) == of(operator, back, axes=[1], keepdims=0) == [known]
assert np.isnan(of("ReduceMean", back, axes=[1], keepdims=0)[0])
for operator, places in (("ArgMax", (0, 2, 1)), ("ArgMin", (0, 0, 0))):
    found = [of(operator, row, integers=True, axis=1, keepdims=0)[0] for row in (front, middle, back)]
    assert tuple(found) == places
    numpys = getattr(np, operator.lower())
    assert [int(numpys(row)) for row in (front, middle, back)] == [0, 1, 2]
assert of("Hardmax", middle) == [0, 0, 1]
for operator in ("Sign", "Relu", "Sigmoid", "Round"):
    assert np.isnan(of(operator, middle)[1])
assert np.isnan(of("Softmax", middle)).all()
PY
