"""Reached through other scripts: as their dependency, under the names that callers use."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from tests.harness.artifacts import delivered
from tests.harness.build import Installation
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

ASKED = [
    ("get,ml-model,resnet50", "ml-model", "onnx-opset-11"),
    ("get,ml-model,resnet50,_fp32,_batch_size.8", "ml-model", "onnx-opset-11"),
    ("get,ml-model,raw,resnet50,_onnx,_fp32", "original-model", "onnx-opset-11"),
    ("get,ml-model,resnet50,_onnxruntime", "resnet50-model", "onnx-opset-11"),
    ("get,ml-model,resnet50,_fp32,_onnx,_opset-8", "model-src", "onnx-opset-8"),
    ("get,ml-model,resnet50,_fp32,_onnx,_from-tf", "ml-model", "onnx-from-tf"),
    ("get,ml-model,image-classification,resnet50,_pytorch", "resnet50-model", "pytorch-fp32"),
    ("get,ml-model,resnet50,_pytorch,_int8", "resnet50-model", "pytorch-int8"),
    ("get,ml-model,resnet50,_tf", "resnet50-model", "tensorflow"),
    ("get,ml-model,raw,resnet50,_tflite,_no-argmax", "tflite-model", "tflite-no-argmax"),
    ("get,ml-model,raw,resnet50,_tflite,_no-argmax,_int8", "tflite-model", "tflite-edgetpu"),
    ("get,ml-model,raw,resnet50,_tflite,_fp32", "tflite-model", "tflite-argmax"),
    ("get,ml-model,raw,resnet50,_ncnn,_fp32", "ncnn-model", "ncnn"),
    ("get,ml-model,resnet50,_onnx,_uint8", "ml-model", "onnx-opset-11"),
    ("get,ml-model,resnet50,_tf,_int8", "ml-model", "tensorflow"),
]


def caller(engine: CM, dep: dict[str, object], **meta: object) -> None:
    """Add a script that depends on ours to the user's local repository."""
    keys = ["CM_ML_MODEL_*", "CM_ML_MODEL", "CALLER_*"]
    tags = ["run", "needs-a-model"]
    asked = {"cache": False, "tags": tags, "deps": [dep], "new_env_keys": keys, **meta}
    engine.add_script("needs-a-model", "0123456789abcdef", **asked)


def ask(engine: CM, *options: str) -> Result:
    result = engine.run("run", "script", "--tags=needs-a-model", "--quiet", *options)
    assert result.ok, result.text
    return result


@pytest.mark.callers
@pytest.mark.parametrize(("tags", "name", "artifact"), ASKED)
@pytest.mark.under_mlc("_opset-8", "_no-argmax,_int8", "_ncnn")
def test_as_a_dependency(
    engine: CM, served: dict[str, Path], tags: str, name: str, artifact: str
) -> None:
    caller(engine, {"tags": tags, "names": [name]})
    for _ in range(2):
        result = ask(engine)
        published = result.env.get("CM_ML_MODEL_STARTING_FILE_PATH", str(result.path))
        assert Path(published).read_bytes() == delivered(served[artifact])
        assert "CM_ML_MODEL" not in result.env


def test_tags_added_by_name_reach_us_and_nobody_inside(engine: CM, served: dict[str, Path]) -> None:
    caller(engine, {"tags": "get,ml-model,resnet50", "names": ["ml-model", "model-src"]})
    result = ask(engine, "--adr.ml-model.tags=_pytorch")
    assert result.path.read_bytes() == delivered(served["pytorch-fp32"])
    assert ask(engine).path.read_bytes() == delivered(served["onnx-opset-11"])


@pytest.mark.under_mlc()
def test_options_reach_us_as_keys_and_not_as_flags(engine: CM) -> None:
    caller(engine, {"tags": "get,ml-model,resnet50,_dummy-weights", "names": ["ml-model"]})
    assert ask(engine, "--to=flag").path.parent.name == "model"
    assert ask(engine, "--env.CM_RESNET50_TO=key").path.parent.name == "key"
    assert ask(engine, "--adr.ml-model.env.CM_RESNET50_TO=one").path.parent.name == "one"


def shapes_in_a_script(engine: CM, *options: str) -> dict[str, tuple[int, ...]]:
    """Return the exported shapes as a caller's native step reads and evaluates them."""
    (script,) = engine.repos.rglob("script/needs-a-model")
    native = script / "run.sh"
    native.write_text(f'printf %s "${engine.key("CM_ML_MODEL_INPUT_SHAPES")}" > shapes\n')
    native.chmod(0o755)
    result = ask(engine, *options)
    assert "not a valid identifier" not in result.text
    text = (engine.cwd / "shapes").read_text().replace("BATCH_SIZE", "2")
    found: dict[str, tuple[int, ...]] = ast.literal_eval("{" + text + "}")
    return found


def test_a_native_step_evaluates_the_shapes(engine: CM) -> None:
    caller(engine, {"tags": "get,ml-model,resnet50", "names": ["ml-model"]})
    assert shapes_in_a_script(engine) == {"input_tensor:0": (2, 3, 224, 224)}
    tflite = shapes_in_a_script(engine, "--adr.ml-model.tags=_tflite")
    assert tflite == {"input_tensor 2": (2, 224, 224, 3)}


def test_a_name_in_a_file_of_unknown_origin_stays_text(
    engine: CM, origin: Origin, tmp_path: Path
) -> None:
    mine, name = tmp_path / "mine.onnx", "a; touch p;b"
    dummy.write("onnx-from-tf", mine, seed=7, width=1)
    url = "https://models.example.org/mine.onnx"
    origin.serve(url, mine.read_bytes().replace(b"input_tensor", name.encode()))
    caller(engine, {"tags": "get,ml-model,resnet50", "names": ["ml-model"]})
    const = engine.key("const.CM_PACKAGE_URL")
    shapes = shapes_in_a_script(engine, f"--{const}={url}")
    assert shapes == {name: (2, 224, 224, 3)}
    assert not list(engine.home.rglob("p"))


def test_the_callers_own_keys_survive(engine: CM) -> None:
    own = {"CALLER_DATA_TYPE": "int8", "CM_DOWNLOAD_CHECKSUM": "0" * 32}
    caller(engine, {"tags": "get,ml-model,resnet50,_int8", "names": ["ml-model"]}, env=own)
    for _ in range(2):
        result = ask(engine)
        assert result.env["CALLER_DATA_TYPE"] == "int8"
        assert result.env["CM_ML_MODEL_PRECISION"] == "fp32"


@pytest.mark.under_mlc()
def test_the_line_of_a_shipped_app(engine: CM, ours: Installation, served: dict[str, Path]) -> None:
    app = ours.site_packages / "cmx4mlops/repo/script/app-image-classification-onnx-py/_cm.json"
    deps = json.loads(app.read_text(encoding="utf-8"))["deps"]
    (line,) = (dep for dep in deps if "resnet50" in dep["tags"])
    caller(engine, line)
    assert ask(engine).path.read_bytes() == delivered(served["onnx-opset-11"])


def test_a_second_model_in_one_caller_leaves_nothing_of_the_first(engine: CM) -> None:
    first = {"tags": "get,ml-model,resnet50,_ncnn", "names": ["first"]}
    second = {"tags": "get,ml-model,resnet50,_onnx", "names": ["second"]}
    caller(engine, first, post_deps=[second])
    for _ in range(2):
        result = ask(engine)
        assert result.env["CM_ML_MODEL_FILE"] == "resnet50_v1.onnx"
        assert result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"] == ""


def test_what_one_dependency_asks_for_is_not_asked_for_by_the_next(
    engine: CM, served: dict[str, Path]
) -> None:
    """MLC hands the const of one on to the next: random weights must stay where they were asked."""
    asked = ("_dummy-weights,_batch_size.2,_pytorch", "_onnx,_opset-8", "_tflite,_no-argmax")
    deps = [
        {"tags": f"get,ml-model,resnet50,{variations}", "names": [f"model-{number}"]}
        for number, variations in enumerate(asked)
    ]
    caller(engine, deps[0], deps=deps)
    for _ in range(2):
        result = ask(engine)
        for name in ("onnx-opset-8", "tflite-no-argmax"):
            assert hashlib.sha256(delivered(served[name])).hexdigest() in result.out, name
        assert result.env["CM_ML_MODEL_WEIGHTS"] == "pretrained"


def test_the_engine_looks_for_nothing_for_a_file_that_is_there(
    cm: CM, origin: Origin, served: dict[str, Path]
) -> None:
    """The downloader is left out, and not for others: another download of the same run has it."""
    first = cm.get("onnx")
    assert first.ok, first.text
    assert "download" not in first.err
    origin.serve("https://files.example.com/other.bin", served["tensorflow"])
    other = {"tags": "download-and-extract,_url.https://files.example.com/other.bin"}
    caller(cm, {"tags": "get,ml-model,resnet50,_pytorch", "names": ["ml-model"]}, post_deps=[other])
    result = ask(cm)
    ours, _, later = result.err.partition("download-and-extract")
    assert 'call "postprocess"' in ours and "detect os" not in ours
    assert "files.example.com" in later and "detect os" in later
    assert "https://files.example.com/other.bin" in [request.url for request in origin.requests]
