"""What is exported of each request: the documented env, corrected by the facts of the file."""

from __future__ import annotations

import ast
import json
from itertools import product

import pytest

from cmx_resnet50.catalog.table import SCRIPT, Catalog, Request, RequestError
from cmx_resnet50.engines import outputs
from tests.catalog import documented as known
from tests.catalog.engine import compose
from tests.catalog.oracle import Ask

META = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
CATALOG = Catalog(META)
P = "CM_ML_MODEL_"


def exported(tags: list[str], **request: str) -> dict[str, str]:
    run = compose(META, tags)
    asked = Request.from_env(run.env, explicit=run.explicit, **request)
    found = CATALOG.resolve(asked)
    url = asked.url or found.sources[0]
    made = outputs.facts(found, md5="m", sha256="s", size=7, verified=True, url=url)
    facts = {f"CM_{name}": value for name, value in made.items()}
    return {key: value for key, value in {**run.env, **facts}.items() if key.startswith(P)}


def every_delivery() -> list[tuple[Ask, dict[str, str]]]:
    delivered = []
    for ask in (
        Ask(*values)
        for values in product(
            ("onnx", "pytorch", "tensorflow", "tflite", "ncnn"),
            (None, "fp32", "int8", "uint8"),
            (None, "argmax", "no-argmax"),
            (None, "8", "11"),
            (False, True),
            (False, True),
        )
    ):
        try:
            delivered.append((ask, exported(ask.tags())))
        except RequestError:
            continue
    return delivered


DELIVERIES = every_delivery()


def test_the_precision_is_always_the_files() -> None:
    for ask, env in DELIVERIES:
        int8 = ask.precision == "int8" and ask.framework in ("pytorch", "tflite")
        true = "int8" if int8 else "fp32"
        for key in ("PRECISION", "INPUT_DATA_TYPES", "WEIGHT_DATA_TYPES"):
            assert env[P + key] == true, ask
        asked = ask.precision or "fp32"
        assert env.get(P + "REQUESTED_PRECISION", true) == asked
        assert (P + "REQUESTED_PRECISION" in env) is (asked != true)


def test_the_shape_can_be_evaluated_and_fits_the_layout() -> None:
    for ask, env in DELIVERIES:
        if ask.framework == "ncnn":
            assert P + "INPUT_SHAPES" not in env
            continue
        text = env[P + "INPUT_SHAPES"].replace("BATCH_SIZE", "8").replace("\\", "")
        ((_, shape),) = ast.literal_eval("{" + text + "}").items()
        wanted = {"NCHW": [8, 3, 224, 224], "NHWC": [8, 224, 224, 3]}[env[P + "DATA_LAYOUT"]]
        assert list(shape) == wanted, ask
        assert env[P + "INPUT_SHAPES"].count('\\"') == 2


def test_the_accuracy_is_the_known_one_or_empty() -> None:
    for ask, env in DELIVERIES:
        expected = {
            ("onnx", False): "76.456",
            ("onnx", True): "",
            ("tensorflow", ask.from_tf): "76.456",
            ("tflite", ask.from_tf): "" if ask.precision == "int8" else "76.456",
            ("pytorch", ask.from_tf): "75.790" if ask.precision == "int8" else "76.014",
            ("ncnn", ask.from_tf): "76.14",
        }[str(ask.framework), ask.from_tf]
        assert env[P + "ACCURACY"] == expected, ask


def test_the_opset_is_the_files() -> None:
    for ask, env in DELIVERIES:
        if ask.framework == "onnx":
            opset = "" if ask.from_tf else (ask.opset or "11")
            assert env[P + "ONNX_OPSET"] == opset


def test_the_weights_say_where_they_come_from() -> None:
    for ask, env in DELIVERIES:
        name = env.get(P + "STARTING_WEIGHTS_FILENAME")
        if ask.framework == "ncnn":
            assert name is None
        elif ask.framework == "onnx" and ask.from_tf:
            assert name == known.TENSORFLOW_URL
        elif ask.framework == "onnx":
            url = known.OPSET_8_URL if ask.opset == "8" else known.OPSET_11_URL
            assert name == (known.HUGGINGFACE_URL if ask.huggingface else url)
        elif ask.framework == "pytorch":
            int8 = ask.precision == "int8"
            assert name == (known.PYTORCH_INT8_URL if int8 else known.PYTORCH_URL)
        elif ask.framework == "tflite" and ask.precision == "int8":
            assert name == known.EDGETPU_URL
        else:
            assert name in (known.TENSORFLOW_URL, known.ARGMAX_URL, known.NO_ARGMAX_URL)


def test_the_corrections_of_the_verdicts() -> None:
    assert exported(["_tflite", "_int8"])[P + "OUTPUT_LAYER_ARGMAX"] == "no"
    assert exported(["_tflite"])[P + "OUTPUT_LAYER_ARGMAX"] == "yes"
    for tags in (["_pytorch"], ["_pytorch", "_int8"]):
        assert exported(tags)[P + "GIVEN_CHANNEL_MEANS"] == ""
    assert exported(["_tf"])[P + "GIVEN_CHANNEL_MEANS"] == "123.68 116.78 103.94"
    assert exported(["_tf"])[P + "INPUT_SHAPES"] == r"\"input_tensor\": (BATCH_SIZE, 224, 224, 3)"
    assert exported(["_batch_size.8"])[P + "BATCH_SIZE"] == "8"
    assert P + "BATCH_SIZE" not in exported([])


def test_what_must_never_be_fixed() -> None:
    for _ask, env in DELIVERIES:
        assert P + "INPUTS_DATA_TYPE" not in env
        assert P + "WEIGHTS_DATA_TYPE" not in env
        assert "CM_ML_MODEL" not in env
        assert (env[P + "NORMALIZE_DATA"], env[P + "SUBTRACT_MEANS"]) == ("0", "YES")
        assert env[P + "WEIGHT_TRANSFORMATIONS"] == "no"
        assert all(isinstance(value, str) for value in env.values())
    assert exported(["_tflite"])[P + "INPUT_LAYER_NAME"] == "input_tensor"


def test_a_group_left_out_exports_no_word_of_its_own() -> None:
    env = exported(["_onnx", "_-fp32"])
    assert env[P + "PRECISION"] == "fp32"
    assert "none" not in env.values()


def test_random_weights_have_no_accuracy() -> None:
    env = exported(["_onnx", "_dummy-weights"])
    assert (env[P + "WEIGHTS"], env[P + "ACCURACY"]) == ("dummy", "")
    assert exported(["_onnx"])[P + "WEIGHTS"] == "pretrained"


def test_an_unknown_file_claims_nothing() -> None:
    env = exported(["_onnx", "_int8"], url="https://example.org/mine.onnx")
    assert env[P + "ACCURACY"] == ""
    assert env[P + "ONNX_OPSET"] == ""
    assert env[P + "PRECISION"] == "int8"
    assert env[P + "STARTING_WEIGHTS_FILENAME"] == "https://example.org/mine.onnx"


@pytest.mark.parametrize("verified", [True, False])
def test_digests_and_size_are_said_as_given(verified: bool) -> None:
    found = CATALOG.resolve(Request(opset="11"))
    env = outputs.facts(found, md5="ab", sha256="cd", size=12, verified=verified, url="u")
    said = {name.removeprefix("ML_MODEL_"): value for name, value in env.items()}
    assert (said["MD5"], said["SHA256"], said["SIZE"]) == ("ab", "cd", "12")
    assert said["VERIFIED"] == ("yes" if verified else "no")
