"""What is in the cache never answers a request that means something else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from cmx_resnet50 import dummy
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.origin import Origin

PLAIN: tuple[str, ...] = ()
SEQUENCES = [
    (("onnx", "opset-8"), ("onnx",), "onnx-opset-11", {"ONNX_OPSET": "11", "PRECISION": "fp32"}),
    (("onnx", "int8"), ("onnx",), "onnx-opset-11", {"PRECISION": "fp32"}),
    (("pytorch", "int8"), ("pytorch",), "pytorch-fp32", {"PRECISION": "fp32"}),
    (("pytorch",), PLAIN, "onnx-opset-11", {"FRAMEWORK": "onnx"}),
    (
        ("tflite", "no-argmax"),
        ("tflite",),
        "tflite-argmax",
        {"OUTPUT_LAYER_ARGMAX": "yes", "FILE": "resnet50_v1.tflite"},
    ),
    (("onnx", "from-tf"), ("onnx",), "onnx-opset-11", {"DATA_LAYOUT": "NCHW"}),
    (("batch_size.1",), PLAIN, "onnx-opset-11", {"BATCH_SIZE": None}),
    (("huggingface_default",), PLAIN, "onnx-opset-11", {}),
    (("dummy-weights",), PLAIN, "onnx-opset-11", {"WEIGHTS": "pretrained"}),
    (("no-argmax",), PLAIN, "onnx-opset-11", {"OUTPUT_LAYER_ARGMAX": "yes"}),
    (("tflite", "int8"), ("tflite",), "tflite-argmax", {"PRECISION": "fp32"}),
]


def exported(env: dict[str, str], name: str) -> str | None:
    return env.get(f"CM_ML_MODEL_{name}")


@pytest.mark.parametrize(
    ("first", "second", "artifact", "keys"),
    SEQUENCES,
    ids=[
        ",".join(first) + "-then-" + (",".join(second) or "nothing")
        for first, second, *_ in SEQUENCES
    ],
)
def test_second_request_gets_its_own_file(
    engine: CM,
    served: dict[str, Path],
    first: tuple[str, ...],
    second: tuple[str, ...],
    artifact: str,
    keys: dict[str, str | None],
) -> None:
    before = engine.get(*first)
    assert before.ok, before.text
    result = engine.get(*second)
    assert result.ok, result.text
    assert result.path.read_bytes() == delivered(served[artifact])
    assert {name: exported(result.env, name) for name in keys} == keys


def test_uint8_of_pytorch_is_refused_with_fp32_cached(engine: CM, origin: Origin) -> None:
    assert engine.get("pytorch", "fp32").ok
    requests = len(origin.requests)
    result = engine.get("pytorch", "uint8")
    assert result.code == 1
    assert "No ResNet-50 file exists for _pytorch,_uint8" in result.err
    assert "_pytorch,_int8" in result.err
    assert len(origin.requests) == requests


def test_same_request_transfers_once(engine: CM, origin: Origin) -> None:
    assert engine.get("onnx").ok
    sent = origin.bytes_sent()
    for again in (("onnx",), ("onnx", "fp32"), PLAIN, ("fp32", "onnxruntime"), ("onnx", "int8")):
        result = engine.get(*again)
        assert result.ok, result.text
    assert origin.bytes_sent() == sent


def test_equal_requests_share_one_entry(engine: CM) -> None:
    for request in (PLAIN, ("onnx", "fp32"), ("onnxruntime",), ("opset-11", "argmax"), PLAIN):
        result = engine.get(*request, quiet=False)
        assert result.ok, result.text
    entries = engine.cache_entries("-tmp,get,ml-model,resnet50")
    assert len(entries) == 1


def test_user_url_is_not_answered_by_the_cache(
    engine: CM, origin: Origin, served: dict[str, Path], tmp_path: Path
) -> None:
    for framework, known in (("onnx", "onnx-opset-11"), ("tensorflow", "tensorflow")):
        mine = tmp_path / served[known].name
        dummy.write(known, mine, seed=99, width=1)
        other = f"https://models.example.org/mine/{mine.name}"
        origin.serve(other, mine)
        assert engine.get(framework).ok
        result = engine.get(framework, **{"const.CM_PACKAGE_URL": other})
        assert result.ok, result.text
        assert result.path.read_bytes() == mine.read_bytes()
        assert exported(result.env, "VERIFIED") == "no"
        assert "not verified" in result.err
        back = engine.get(framework)
        assert back.path.read_bytes() == delivered(served[known])
        assert exported(back.env, "VERIFIED") == "yes"


@pytest.mark.parametrize("const_first", [True, False])
@pytest.mark.parametrize("framework", ["onnx", "pytorch", "tensorflow"])
@pytest.mark.under_mlc("onnx-True")
def test_a_url_in_env_is_not_used_and_takes_no_part_in_the_identity(
    engine: CM,
    origin: Origin,
    served: dict[str, Path],
    tmp_path: Path,
    framework: str,
    const_first: bool,
) -> None:
    """Else two requests share an entry, and one swaps the file under the path of the other."""
    known = {"onnx": "onnx-opset-11", "pytorch": "pytorch-fp32"}.get(framework, framework)
    mine = tmp_path / served[known].name
    dummy.write(known, mine, seed=99, width=1)
    url = f"https://models.example.org/mine/{mine.name}"
    origin.serve(url, mine)
    wanted = {"const": mine.read_bytes(), "env": delivered(served[known])}
    order = ["const", "env"] if const_first else ["env", "const"]
    paths: dict[str, Path] = {}
    for kind in [*order, *order]:
        result = engine.get(framework, **{f"{kind}.CM_PACKAGE_URL": url})
        assert result.ok, result.text
        assert result.path.read_bytes() == wanted[kind]
        assert paths.setdefault(kind, result.path) == result.path
        assert exported(result.env, "VERIFIED") == ("no" if kind == "const" else "yes")
        for other, path in paths.items():
            assert path.read_bytes() == wanted[other]
    assert engine.get(framework).path == paths["env"]


def test_a_checksum_is_a_part_of_the_identity(engine: CM, origin: Origin, tmp_path: Path) -> None:
    """What was not compared with a digest never answers for what was, and the other way round."""
    mine = tmp_path / "mine.onnx"
    dummy.write("onnx-opset-11", mine, seed=99, width=1)
    url = "https://models.example.org/mine.onnx"
    origin.serve(url, mine)
    sha256 = hashlib.sha256(mine.read_bytes()).hexdigest()
    right = {"const.CM_PACKAGE_URL": url, "const.CM_DOWNLOAD_CHECKSUM": sha256}
    bare = {"const.CM_PACKAGE_URL": url}
    stray = {**bare, "env.CM_DOWNLOAD_CHECKSUM": sha256}
    for options in (bare, right, stray, bare, right):
        result = engine.get("onnx", **options)
        assert result.ok, result.text
        verified = "yes" if options is right else "no"
        assert exported(result.env, "VERIFIED") == verified
    wrong = engine.get("onnx", **{**bare, "const.CM_DOWNLOAD_CHECKSUM": "0" * 64})
    assert wrong.code == 1
    assert engine.get("onnx", **bare).path.read_bytes() == mine.read_bytes()


@pytest.mark.parametrize("name", ["onnx-opset-11", "tflite-argmax"])
def test_a_sha256_of_the_users_is_compared_where_only_an_md5_is_published(
    cm: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    framework = name.partition("-")[0]
    sha256 = hashlib.sha256(served[name].read_bytes()).hexdigest()
    wrong = {"const.CM_DOWNLOAD_CHECKSUM": "0" * 64}
    refused = cm.get(framework, **wrong)
    assert refused.code == 1, refused.text
    assert f"expected sha256 {'0' * 64}" in refused.err
    assert f"actual   sha256 {sha256}" in refused.err
    for _ in range(2):
        result = cm.get(framework, **{"const.CM_DOWNLOAD_CHECKSUM": sha256})
        assert result.ok, result.text
        assert exported(result.env, "VERIFIED") == "yes"
    origin.clear_log()
    again = cm.get(framework, **wrong)
    assert again.code == 1
    assert "is not the file of the checksum that you give" in again.err
    assert f"expected {'0' * 64}" in again.err
    assert not origin.requests
    assert cm.get(framework).path.read_bytes() == delivered(served[name])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "Sign in"),
        (b"other bytes", "is not a model"),
        (b"", "empty"),
    ],
)
@pytest.mark.under_mlc("Sign in")
def test_user_url_that_is_no_model_is_refused_and_forgotten(
    engine: CM, origin: Origin, content: bytes, said: str
) -> None:
    other = "https://models.example.org/mine/resnet50_other.onnx"
    origin.serve(other, content)
    for _ in range(2):
        result = engine.get("onnx", **{"const.CM_PACKAGE_URL": other})
        assert result.code == 1, result.text
        assert said in result.err
        assert other in result.err
    assert not list(engine.repos.glob("resnet50-store/objects/*/*"))


@pytest.mark.under_mlc()
def test_user_url_of_another_format_is_refused(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    other = "https://models.example.org/mine/model.onnx"
    origin.serve(other, served["pytorch-int8"].read_bytes() + b"\0")
    result = engine.get("onnx", **{"const.CM_PACKAGE_URL": other})
    assert result.code == 1, result.text
    assert "Traceback" not in result.err


def test_facts_of_a_user_file_are_exported(engine: CM, origin: Origin, tmp_path: Path) -> None:
    mine = tmp_path / "mine.onnx"
    dummy.write("onnx-from-tf", mine, seed=7, width=1)
    other = f"https://models.example.org/{mine.name}"
    origin.serve(other, mine)
    for _ in range(2):
        result = engine.get("onnx", "opset-8", "int8", **{"const.CM_PACKAGE_URL": other})
        assert result.ok, result.text
        found = {n: exported(result.env, n) for n in ("ONNX_OPSET", "DATA_LAYOUT", "PRECISION")}
        assert found == {"ONNX_OPSET": "11", "DATA_LAYOUT": "NHWC", "PRECISION": "fp32"}
        assert exported(result.env, "INPUT_LAYER_NAME") == "input_tensor"
        shapes = '"input_tensor": (BATCH_SIZE, 224, 224, 3)'
        # MLC itself puts a backslash before each quote in a script.
        backslash = "" if engine.program == "mlc" else "\\"
        assert exported(result.env, "INPUT_SHAPES") == shapes.replace('"', f'{backslash}"')


def test_output_folder_is_filled_each_time_and_never_answers_a_plain_request(
    engine: CM, tmp_path: Path, served: dict[str, Path], origin: Origin
) -> None:
    expected = delivered(served["onnx-opset-11"])
    first, second = tmp_path / "first folder", tmp_path / "zweiter Ordner ü"
    for folder in (first, second, first):
        result = engine.get(outdirname=str(folder))
        assert result.ok, result.text
        assert result.path == folder / "resnet50_v1.onnx"
        assert result.path.read_bytes() == expected
        assert [path.name for path in folder.iterdir()] == ["resnet50_v1.onnx"]
    plain = engine.get()
    assert plain.path.read_bytes() == expected
    assert engine.repos in plain.path.parents
    assert origin.bytes_sent() == len(expected)


@pytest.mark.parametrize("option", ["to", "download_path", "outdirname"])
@pytest.mark.under_mlc("outdirname")
def test_relative_output_folder(engine: CM, option: str) -> None:
    for _ in range(2):
        result = engine.get(**{option: "models/here"})
        assert result.ok, result.text
        assert result.path == engine.cwd / "models" / "here" / "resnet50_v1.onnx"
        assert result.path.is_file()


def test_old_entries_do_not_answer(
    new_cm: Callable[..., CM], upstream: Installation, ours: Installation, origin: Origin
) -> None:
    old = new_cm("anna", upstream)
    origin.serve(ARTIFACTS["onnx-opset-8"].url, b"the old script takes anything")
    assert old.get("onnx").ok
    new = old.also(installation=ours)
    assert new.run("reindex", "repo").ok
    result = new.get("onnx")
    assert result.ok, result.text
    assert exported(result.env, "VERIFIED") == "yes"


@pytest.mark.parametrize("request_", [PLAIN, ("onnx",)], ids=["nothing", "onnx"])
def test_dummy_answers_nobody_after_uninstall(
    new_cm: Callable[..., CM],
    upstream: Installation,
    served: dict[str, Path],
    request_: tuple[str, ...],
) -> None:
    cm = new_cm("bob")
    dummy = cm.get(*request_, "dummy-weights")
    assert dummy.ok, dummy.text
    old = cm.also(installation=upstream)
    assert old.run("reindex", "repo").ok
    result = old.get(*request_)
    assert result.ok, result.text
    assert result.path.read_bytes() == served["onnx-opset-11"].read_bytes()
