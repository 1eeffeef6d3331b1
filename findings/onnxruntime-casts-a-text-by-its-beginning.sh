#!/usr/bin/env bash
# onnxruntime 1.32.0: Cast from text to a number reads as far as it can and drops the rest; lookups cut fractions off.
#
# Guess: a text that is no number makes Cast fail, as int("3.9") does in Python; a category that is not there gives zeros;
# parameters of the wrong length do not load.
# Seen: to int64 "3.9" is 3 and "7abc" is 7; to float "1,5" is 1 and "0x10" is 16. OneHotEncoder of floats over whole
# categories takes 1.7 for category 1. Imputer with three values for two columns fills both with the first one. A text that
# does not begin with a number at all does raise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def of(operator, given, kind, made, domain="", **options):
    """What an operator makes of a tensor."""
    values = np.array(given, {TensorProto.STRING: object, TensorProto.FLOAT: np.float32}[kind])
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], domain=domain, **options)],
        "one",
        [helper.make_tensor_value_info("x", kind, [None] * values.ndim)],
        [helper.make_tensor_value_info("y", made, None)],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 4)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 4
    found = onnxruntime.InferenceSession(model, quiet).run(None, {"x": values})[0].tolist()
    print(operator, given, "->", found)
    return found


def cast(texts, to):
    return of("Cast", texts, TensorProto.STRING, to, to=to)


whole = cast(["12", "3.9", "7abc"], TensorProto.INT64)
assert whole == [12, 3, 7]
numbers = cast(["1.5", "1,5", "0x10", " 2"], TensorProto.FLOAT)
assert numbers == [1.5, 1, 16, 2]
for to in (TensorProto.INT64, TensorProto.FLOAT):
    try:
        cast(["abc"], to)
    except Exception as error:
        print("abc:", str(error).splitlines()[0])
    else:
        raise AssertionError("a text without a number was cast")
ml = {"domain": "ai.onnx.ml"}
one_hot = of("OneHotEncoder", [1.7, 2.0, 9.0], TensorProto.FLOAT, TensorProto.FLOAT, cats_int64s=[1, 2], zeros=1, **ml)
assert one_hot == [[1, 0], [0, 1], [0, 0]]
filled = of(
    "Imputer",
    [[0.0, 0.0]],
    TensorProto.FLOAT,
    TensorProto.FLOAT,
    imputed_value_floats=[7.0, 8.0, 9.0],
    replaced_value_float=0.0,
    **ml,
)
assert filled == [[7, 7]]
PY
