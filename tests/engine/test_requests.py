"""Every request of the contract: the right file, and the truth about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.test_identity import exported
from tests.harness.artifacts import delivered
from tests.harness.cm import CM
from tests.harness.mlc import MLC
from tests.harness.origin import Origin

CONSUMERS = [
    ("", "onnx-opset-11", "fp32"),
    ("fp32", "onnx-opset-11", "fp32"),
    ("batch_size.4", "onnx-opset-11", "fp32"),
    ("onnx", "onnx-opset-11", "fp32"),
    ("onnxruntime", "onnx-opset-11", "fp32"),
    ("onnx,opset-11", "onnx-opset-11", "fp32"),
    ("fp32,onnx,opset-8", "onnx-opset-8", "fp32"),
    ("fp32,onnx,from-tf", "onnx-from-tf", "fp32"),
    ("pytorch", "pytorch-fp32", "fp32"),
    ("pytorch,fp32,batch_size.2", "pytorch-fp32", "fp32"),
    ("pytorch,int8", "pytorch-int8", "int8"),
    ("tensorflow", "tensorflow", "fp32"),
    ("tf", "tensorflow", "fp32"),
    ("tf,fp32", "tensorflow", "fp32"),
    ("tflite,no-argmax,fp32", "tflite-no-argmax", "fp32"),
    ("tflite,no-argmax,int8", "tflite-edgetpu", "int8"),
    ("tflite,no-argmax,uint8", "tflite-no-argmax", "fp32"),
    ("tflite,fp32", "tflite-argmax", "fp32"),
    ("ncnn,fp32", "ncnn", "fp32"),
    ("onnx,int8", "onnx-opset-11", "fp32"),
    ("onnx,uint8", "onnx-opset-11", "fp32"),
    ("tf,int8", "tensorflow", "fp32"),
    ("tflite,int8", "tflite-edgetpu", "int8"),
    ("tflite,uint8", "tflite-argmax", "fp32"),
    ("onnx,from-tf,int8", "onnx-from-tf", "fp32"),
    ("onnx,huggingface_default", "onnx-opset-11", "fp32"),
]
REFUSED = [
    ("pytorch,uint8", "_pytorch,_int8"),
    ("ncnn,int8", "_ncnn,_fp32"),
    ("ncnn,uint8", "_ncnn,_fp32"),
    ("tflite,int8,argmax", "_tflite,_int8,_no-argmax"),
    ("tflite,-argmax", "_tflite,_fp32"),
    ("huggingface_default,opset-8", "_onnx,_fp32"),
    ("huggingface_default,from-tf", "_onnx,_fp32"),
    ("huggingface_default,tf", "_tensorflow,_fp32"),
    ("batch_size.1,batch_size.2", "Choose one"),
    ("batch_size.0", "positive integer"),
    ("batch_size.-3", "positive integer"),
    ("batch_size.two", "write _batch_size.8."),
    ("batch_size.#", "write _batch_size.8."),
]


@pytest.mark.callers
@pytest.mark.parametrize(("variations", "artifact", "precision"), CONSUMERS)
@pytest.mark.under_mlc(
    "mlc-onnxruntime",
    "mlc-tflite,int8",
    "mlc-ncnn,fp32",
    "mlc-onnx,from-tf,int8",
    "mlc-pytorch,fp32,batch",
)
def test_consumer_request(
    engine: CM, served: dict[str, Path], variations: str, artifact: str, precision: str
) -> None:
    names = [name for name in variations.split(",") if name]
    result = engine.get(*names)
    assert result.ok, result.text
    original = exported(result.env, "STARTING_FILE_PATH") or str(result.path)
    assert Path(original).read_bytes() == delivered(served[artifact])
    assert result.path.name == served[artifact].name.removesuffix(".gz")
    for key in ("PRECISION", "INPUT_DATA_TYPES", "WEIGHT_DATA_TYPES"):
        assert exported(result.env, key) == precision
    asked = next((name for name in names if name in ("int8", "uint8")), "fp32")
    assert exported(result.env, "REQUESTED_PRECISION") == (asked if asked != precision else None)
    assert ("called that" in result.err) == (asked != precision)
    assert exported(result.env, "PATH") == str(result.path.parent)
    assert exported(result.env, "FILE") == result.path.name
    assert exported(result.env, "SIZE") == str(result.path.stat().st_size)
    assert exported(result.env, "VERIFIED") == "yes"
    assert str(result.path) in result.out
    again = engine.get(*names)
    assert again.env == result.env


@pytest.mark.parametrize(("variations", "hint"), REFUSED)
@pytest.mark.under_mlc("pytorch,uint8", "tflite,int8,argmax", "batch_size.two")
def test_refused(engine: CM, origin: Origin, variations: str, hint: str) -> None:
    names = variations.split(",")
    tags = ",".join(f"_{name}" for name in names)
    result = engine.run("run", "script", f"--tags=get,ml-model,resnet50,{tags}", "--quiet")
    assert result.code == 1, result.text
    assert hint in result.err
    if hint.startswith("_"):
        # What to run instead is a command of the engine that refused.
        mlc = isinstance(engine, MLC)
        run = f"{'mlcr ' if mlc else 'cm run script --tags='}get,ml-model,resnet50,"
        assert f"\n  {run}{hint}" in result.err
        assert "cmx-resnet50 get" not in result.err
    assert "Traceback" not in result.err
    assert not origin.requests


def test_ncnn_pair(engine: CM, served: dict[str, Path], tmp_path: Path) -> None:
    for options in ({}, {"outdirname": str(tmp_path / "pair")}, {}):
        result = engine.get("ncnn", **options)
        assert result.ok, result.text
        assert result.path.name == "resnet50_v1.bin"
        param = Path(result.env["CM_ML_MODEL_PARAM_FILE_WITH_PATH"])
        assert param == result.path.with_name("resnet50_v1.param")
        assert param.read_bytes() == served["ncnn-param"].read_bytes()
        assert sorted(p.name for p in param.parent.iterdir()) == [
            "resnet50_v1.bin",
            "resnet50_v1.param",
        ]


def test_strict_refuses_what_is_delivered_with_a_warning(engine: CM, origin: Origin) -> None:
    assert engine.get("onnx", "int8").ok
    sent = len(origin.requests)
    for given in ({"strict": "yes"}, {"env.CM_RESNET50_STRICT": "yes"}):
        result = engine.get("onnx", "int8", **given)
        assert result.code == 1, result.text
        assert "RESNET50_STRICT" in result.err
    result = engine.get("onnx", "int8", env={"CM_RESNET50_STRICT": "yes"})
    assert result.code == 1, result.text
    assert len(origin.requests) == sent
    assert engine.get("onnx", "fp32", env={"CM_RESNET50_STRICT": "yes"}).ok


@pytest.mark.parametrize("names", [("pytorch", "opset-8"), ("tf", "from-tf")])
@pytest.mark.under_mlc("names0")
def test_variations_without_effect_are_said(engine: CM, names: tuple[str, ...]) -> None:
    result = engine.get(*names)
    assert result.ok, result.text
    assert f"_{names[1]} has no effect" in result.err


HOSTILE = ["$(touch pwned)", "`touch pwned`", 'a"; touch pwned; "', "a\ntouch pwned", "a\x07b"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "key",
    [
        "const.CM_PACKAGE_URL",
        "outdirname",
        "env.CM_ML_MODEL_BATCH_SIZE",
        "env.CM_DOWNLOAD_FILENAME",
    ],
)
@pytest.mark.under_mlc("const.CM_PACKAGE_URL-$(touch", "outdirname-`touch")
def test_hostile_value_is_refused_and_not_run(
    engine: CM, origin: Origin, key: str, value: str
) -> None:
    text = f"https://example.org/{value}" if key.endswith("URL") else value
    result = engine.get("pytorch", **{key: text})
    assert result.code == 1, result.text
    assert "which a shell would act on" in result.err, result.text
    assert not list(engine.home.rglob("pwned")) and not list(engine.repos.rglob("pwned"))
    assert not origin.requests


@pytest.mark.parametrize(
    "argument",
    [
        "--env.CM_ML_X;touch pwned;Y=1",
        "--const.A;touch pwned;B=1",
        "--env.FOO=$(touch pwned)",
        "--const.FOO=`touch pwned`",
        "--env.+PATH,=x$(touch pwned)",
        "--adr.model-downloader.tags=_url.$(touch pwned)",
        "--adr.model-downloader.env.FOO=$(touch pwned)",
        "--adr.python.version=3;touch pwned",
        "--adr.model-downloader.add_deps.tool.env.CM_DOWNLOAD_FILENAME=a;touch pwned",
        "--adr.model-downloader.env.CM_DOWNLOAD_URL1=https://h/a&touch%20pwned",
        "--ad.model-downloader.env.FOO=$(touch pwned)",
        "--add_deps.model-downloader.tags=_url.$(touch pwned)",
        "--env.FOO,=it's,; touch pwned #",
        "--env.CM_DOWNLOAD_CHECKSUM_FILE='; touch pwned #",
        "--env.CM_DOWNLOAD_EXTRA_OPTIONS=; touch pwned #",
        "--env.CM_EXTRACT_TOOL_EXTRA_OPTIONS=; touch pwned #",
    ],
)
@pytest.mark.under_mlc("env.FOO", "const.A", "downloader.tags")
def test_whatever_a_run_is_given_is_checked(engine: CM, origin: Origin, argument: str) -> None:
    """Not only our keys: the engine writes every key of env into the scripts that it runs."""
    tags = "--tags=get,ml-model,resnet50,_tensorflow"
    result = engine.run("run", "script", tags, argument, "--quiet")
    assert result.code == 1, result.text
    assert "which a shell would act on" in result.err or "environment variable" in result.err
    assert not list(engine.home.rglob("pwned")) and not list(engine.repos.rglob("pwned"))
    assert not list(engine.repos.rglob("tmp-run.sh")) and not origin.requests


@pytest.mark.parametrize(
    "argument",
    [
        "--env.CM_DOWNLOAD_CONFIG_CMD=touch pwned",
        "--adr.model-downloader.env.CM_RCLONE_CONFIG_CMD=touch pwned",
        "--state.script_prefix,=touch pwned",
        "--const_state.script_prefix,=touch pwned",
    ],
)
def test_a_command_in_the_input_is_refused(cm: CM, argument: str) -> None:
    result = cm.run("run", "script", "--tags=get,ml-model,resnet50,_tensorflow", argument)
    assert result.code == 1 and "would run" in result.err, result.text
    assert not list(cm.home.rglob("pwned")) and not list(cm.repos.rglob("pwned"))


@pytest.mark.parametrize("argument", ["--env.FOO=$(touch pwned)", "--state.script_prefix=,x"])
def test_a_user_is_not_believed_to_be_a_script(cm: CM, argument: str) -> None:
    """The engine marks what scripts run by ``recursion``; anybody can write that."""
    tags = "--tags=get,ml-model,resnet50,_tensorflow"
    result = cm.run("run", "script", tags, "--recursion", argument, "--quiet")
    assert result.code == 1, result.text
    assert "would act on" in result.err or "would run" in result.err, result.text
    assert not list(cm.home.rglob("pwned")) and not list(cm.repos.rglob("pwned"))


@pytest.mark.parametrize("where", ["const", "env"])
def test_values_that_the_engine_joins_stay_text(cm: CM, where: str) -> None:
    """Each is text by itself; in place of ``<<<CM_ML_B>>>``, the second would end the first."""
    given = {f"{where}.CM_ML_A": "\\<<<CM_ML_B>>>", f"{where}.CM_ML_B": '\\"; touch pwned #'}
    result = cm.get("tensorflow", **given, **{"adr.model-downloader.tags": "_wget"})
    assert result.code == 1 and "which a shell would act on" in result.err, result.text
    assert not list(cm.home.rglob("pwned")) and not list(cm.repos.rglob("pwned"))


@pytest.mark.parametrize("tool", ["_wget", "_curl", "_gdown"])
@pytest.mark.parametrize(
    "given",
    [
        {"const.CM_PACKAGE_URL": "https://example.org/a.onnx;touch pwned"},
        {"const.CM_PACKAGE_URL": "https://example.org/a&touch%20pwned"},
        {"const.CM_PACKAGE_URL": "https://example.org/a.onnx|touch pwned"},
        {"const.CM_PACKAGE_URL": "https://example.org/a.onnx<(touch pwned)"},
        {"env.CM_DOWNLOAD_URL1": "https://example.org/a.onnx>pwned"},
    ],
)
@pytest.mark.under_mlc("given0-_wget")
def test_a_tool_is_given_no_command(
    engine: CM, origin: Origin, tool: str, given: dict[str, str]
) -> None:
    result = engine.get("onnx", **given, **{"adr.model-downloader.tags": tool})
    assert result.code == 1, result.text
    (key,) = given
    assert engine.key(key).partition(".")[2] in result.err, result.text
    assert not list(engine.home.rglob("pwned")) and not list(engine.repos.rglob("pwned"))


@pytest.mark.under_mlc()
def test_file_name_with_a_separator_is_refused(engine: CM) -> None:
    result = engine.get("pytorch", **{"env.CM_DOWNLOAD_FILENAME": "../../evil"})
    assert result.code == 1
    assert "not a plain file name" in result.err


@pytest.mark.under_mlc()
def test_an_option_that_does_not_exist_is_named(engine: CM, origin: Origin) -> None:
    """In the run's env and in the process; also where a cached run could have answered."""
    for attempt in range(2):
        given = engine.get("pytorch", **{"env.CM_RESNET50_OFLINE": "yes"})
        assert given.code == 1
        assert "Unknown option CM_RESNET50_OFLINE; valid ones: " in given.err
        assert "Did you mean CM_RESNET50_OFFLINE?" in given.err
        inherited = engine.also(variables={"CM_RESNET50_STORES": "/x"}).get("pytorch")
        assert inherited.code == 1
        assert "Did you mean CM_RESNET50_STORE?" in inherited.err
        if not attempt:
            assert not origin.requests
            assert engine.get("pytorch").ok


@pytest.mark.under_mlc()
def test_random_weights_and_a_file_of_ones_own_are_a_contradiction(engine: CM) -> None:
    result = engine.get("onnx", "dummy-weights", checkpoint="model.onnx")
    assert result.code == 1
    assert "Choose one source: _dummy-weights or --checkpoint." in result.err
    command = engine.command("cmx-resnet50", "get", "_dummy-weights", "--checkpoint", "model.onnx")
    assert command.code == 3
    assert "Choose one source: _dummy-weights or --checkpoint." in command.err


@pytest.mark.parametrize("key", ["env.{}DELIVERED", "const.{}DELIVERED", "env.{}ENSURED"])
@pytest.mark.under_mlc("env.{}")
def test_no_step_is_skipped_because_its_key_was_given(with_tools: CM, key: str) -> None:
    """What a run tells its own later steps, it takes from nobody else."""
    given = {key.format("CM_RESNET50_RUN_"): "yes", "adr.model-downloader.tags": "_wget"}
    for _ in range(2):
        result = with_tools.get("pytorch", **given)
        assert result.ok, result.text
        result.path.unlink()
