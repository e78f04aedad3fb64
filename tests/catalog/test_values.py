"""Values that a user can set and that end in shell scripts; batch sizes; own files and URLs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmx_resnet50.catalog.table import SCRIPT, Request, RequestError
from cmx_resnet50.engines import env_request
from cmx_resnet50.engines.cm import CM
from cmx_resnet50.shell_values import UnsafeValue
from tests.catalog.engine import compose

META = json.loads((SCRIPT / "_cm.json").read_text(encoding="utf-8"))
PATTERNS = META["checked_env_keys"]
KEYS = [
    "CM_PACKAGE_URL",
    "CM_OUTDIRNAME",
    "CM_ML_MODEL_FILE",
    "CM_ML_STARTING_WEIGHTS_FILENAME",
    "CM_ML_MODEL_INPUT_SHAPES",
    "CM_DOWNLOAD_FILENAME",
    "CM_DOWNLOAD_LOCAL_FILE_PATH",
    "CM_DOWNLOAD_CHECKSUM",
    "CM_DOWNLOAD_URL1",
    "CM_EXTRACT_EXTRACTED_FILENAME",
    "CM_DAE_EXTRACT_DOWNLOADED",
    "CM_RESNET50_TO",
    "CM_RESNET50_CHECKPOINT",
    "CM_RESNET50_MIRROR",
]
HOSTILE = {
    "command": "a$(touch x)",
    "variable": "a${HOME}",
    "dollar": "a$",
    "backtick": "a`touch x`",
    "quote": 'a"; touch x; echo "',
    "first a quote": '"',
    "newline": "a\ntouch x",
    "last a newline": "a\n",
    "carriage return": "a\r",
    "null": "a\0",
    "tab": "a\tb",
    "escape": "a\x1b[2J",
    "delete": "a\x7f",
    "quote after two backslashes": 'a\\\\"; touch x; echo \\\\"',
    "quote after four backslashes": 'a\\\\\\\\"',
    "last a backslash": "a\\",
    "last three backslashes": "a\\\\\\",
    "only a backslash": "\\",
    "a backslash before what the engine fills in": "\\<<<CM_ML_B>>>",
}
HARMLESS = [
    "",
    "plain",
    r"\"input_tensor:0\": (BATCH_SIZE, 3, 224, 224)",
    r"\"input_tensor 2\": (BATCH_SIZE, 224, 224, 3)",
    r"\"input_tensor:0\": [BATCH_SIZE, 3, 224, 224]",
    "/models of mine/ResNet 50/Größe,é,模型",
    "https://example.org/a.onnx?download=1&token=a%20b,c#part",
    "https://drive.google.com/uc?id=15wZ_8Vt12cb10IEBsln8wksD1zGwlbOM",
    "it's ; | & < > ( ) * ? [ ] { } ~ # ! %",
    "C:\\models\\resnet50",
    "two at the end\\\\",
    "123.68 116.78 103.94",
    "<<<CM_PACKAGE_URL>>>",
]


def folder(env: dict[str, object], base: str) -> str:
    return env_request.output_folder(CM.view(env), base)


def check(env: dict[str, object], patterns: list[str]) -> None:
    env_request.check_values(CM.view(env), patterns)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("key", KEYS)
def test_what_acts_in_a_shell_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(UnsafeValue) as caught:
        check({"CM_ML_MODEL": "RESNET50", key: value}, PATTERNS)
    assert key in str(caught.value)


def test_the_refusal_does_not_print_the_value() -> None:
    url = "https://user:secret@example.org/$(x)"
    with pytest.raises(UnsafeValue) as caught:
        check({"CM_PACKAGE_URL": url}, PATTERNS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("value", HARMLESS)
@pytest.mark.parametrize("key", ["CM_PACKAGE_URL", "CM_OUTDIRNAME", "CM_ML_MODEL_INPUT_SHAPES"])
def test_what_is_text_is_let_through(key: str, value: str) -> None:
    check({key: value}, PATTERNS)


def test_every_documented_value_is_let_through() -> None:
    for variation in META["variations"].values():
        env = {k: v.replace("#", "8") for k, v in variation.get("env", {}).items()}
        check(env, PATTERNS)
    check({**META["default_env"], **META["env"]}, PATTERNS)


def test_what_other_scripts_put_in_env_is_not_ours_to_judge() -> None:
    check({"CM_OTHER": "$(x)", "PATH": "a\nb", "+PATH": ["$HOME"]}, PATTERNS)


@pytest.mark.parametrize("value", [True, 8, 1.5, None, ["a", "b"]])
def test_values_that_are_no_text_raise_nothing_else(value: object) -> None:
    check({"CM_ML_MODEL_VER": value}, PATTERNS)


SHELL = shutil.which("bash") or shutil.which("sh")


@pytest.mark.skipif(SHELL is None, reason="no shell here")
@settings(max_examples=40)
@given(st.lists(st.text("ab \\\"$`;\n&|'x#!~*", max_size=10), min_size=3, max_size=3))
def test_a_real_shell_reads_what_is_let_through_as_text(values: list[str]) -> None:
    """The lines that the engine writes, with harmless commands round them, in a real shell."""
    env = {f"CM_ML_MODEL_T{number}": value for number, value in enumerate(values)}
    try:
        check(env, PATTERNS)
    except UnsafeValue:
        return
    lines = [f'export {key}="{value}"' for key, value in env.items()]
    script = "\n".join([*lines, *(f'printf "%s\\0" "${key}"' for key in env), "printf end"])
    done = subprocess.run(
        [str(SHELL), "--posix", "-c", script], capture_output=True, text=True, env={}, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split("\0") == [*(_unescaped(value) for value in values), "end"]


def _unescaped(value: str) -> str:
    """Return what stands between double quotes as POSIX shells read it."""
    return re.sub(r"\\([\\\"])", r"\1", value)


@pytest.mark.parametrize("name", ["../x", "a/b", "/x", "a\\b", ".", ".."])
def test_a_file_name_is_no_path(name: str) -> None:
    with pytest.raises(UnsafeValue, match="CM_DOWNLOAD_FILENAME"):
        check({"CM_DOWNLOAD_FILENAME": name}, PATTERNS)


@pytest.mark.parametrize("name", ["", "resnet50_v1_modified.onnx", "..a", "größe.onnx"])
def test_a_plain_file_name_is_let_through(name: str) -> None:
    check({"CM_DOWNLOAD_FILENAME": name}, PATTERNS)


# -- batch sizes -----------------------------------------------------------------------------------


def request_of(tags: list[str], const: dict[str, str] | None = None, **env: Any) -> Request:
    run = compose(META, tags, const=const, env=env)
    return env_request.request_of(CM.view(run.env), CM.view(run.const), run.explicit)


@pytest.mark.parametrize("size", ["1", "2", "8", "64", "1000", "999999"])
@pytest.mark.parametrize("framework", ["_onnx", "_tf", "_pytorch", "_tflite", "_ncnn"])
def test_a_batch_size_goes_with_everything(size: str, framework: str) -> None:
    assert request_of([framework, f"_batch_size.{size}"]).batch == size


@pytest.mark.parametrize(
    "size",
    ["0", "-1", "01", "1.5", "eight", "8x", " 8", "+8", "1e3", "٣", "#", "$(x)", "8;x", "8\n"],
)
def test_what_is_no_positive_integer_is_refused(size: str) -> None:
    with pytest.raises(RequestError, match="batch size") as caught:
        request_of([f"_batch_size.{size}"])
    assert size in str(caught.value)


def test_a_batch_size_has_a_bound_and_the_text_says_it() -> None:
    with pytest.raises(RequestError, match="6 digits"):
        request_of(["_batch_size.1000000"])


def test_two_batch_sizes_are_refused() -> None:
    with pytest.raises(RequestError) as caught:
        request_of(["_batch_size.8", "_batch_size.16"])
    assert "batch_size.8" in str(caught.value)
    assert "batch_size.16" in str(caught.value)
    assert request_of(["_batch_size.8", "_batch_size.8"]).batch == "8"


def test_no_batch_size_is_no_batch_size() -> None:
    assert request_of([]).batch == "dynamic"
    assert request_of(["_-batch_size.1"]).batch == "dynamic"


@pytest.mark.parametrize("size", ["0", "abc", "1.5", "-8", "1 2"])
def test_a_batch_size_set_past_the_variation_is_checked_too(size: str) -> None:
    with pytest.raises(UnsafeValue, match="CM_ML_MODEL_BATCH_SIZE"):
        check({"CM_ML_MODEL_BATCH_SIZE": size}, PATTERNS)
    check({"CM_ML_MODEL_BATCH_SIZE": "8"}, PATTERNS)


# -- the request as steps read it ------------------------------------------------------------------


def test_only_const_names_the_users_url() -> None:
    """``--env.CM_PACKAGE_URL`` does not beat a variation, ``--const.CM_PACKAGE_URL`` does."""
    url = "https://example.org/a.onnx"
    assert request_of(["_onnx"], CM_PACKAGE_URL=url).url is None
    assert request_of(["_tf"], CM_PACKAGE_URL=url).url is None
    assert request_of(["_onnx"], {"CM_PACKAGE_URL": url}).url == url
    assert request_of(["_onnx"], {"CM_PACKAGE_URL": "  "}).url is None


def test_a_callers_stray_checksum_is_not_the_users() -> None:
    """A calling script that downloads something of its own leaves its checksum in env."""
    assert request_of(["_onnx"], CM_DOWNLOAD_CHECKSUM="0" * 32).checksum is None
    assert request_of(["_onnx"], {"CM_DOWNLOAD_CHECKSUM": "0" * 32}).checksum == "0" * 32


def test_a_comma_in_a_url_is_refused_with_a_way_out() -> None:
    with pytest.raises(RequestError, match="%2C"):
        request_of(["_onnx"], {"CM_PACKAGE_URL": "https://example.org/a,b.onnx"})


@pytest.mark.parametrize("framework", ["onnx", "tensorflow", "pytorch", "tflite", "ncnn"])
def test_a_fixed_input_is_no_fault(framework: str) -> None:
    assert request_of([f"_{framework}", "_fix-input-shape"]).fix_shape == "yes"


@pytest.mark.parametrize(
    "env",
    [{"CM_RESNET50_CHECKPOINT": "/m/a.onnx"}, {"CM_DOWNLOAD_LOCAL_FILE_PATH": "/m/a.onnx"}],
)
def test_a_local_file_has_an_identity_of_its_own(env: dict[str, str]) -> None:
    run = compose(META, ["_onnx"], env=env)
    assert (
        env_request.request_of(CM.view(run.env), CM.view(run.const), run.explicit).local
        == "/m/a.onnx"
    )
    assert run.env["CM_RESNET50_LOCAL"] != compose(META, ["_onnx"]).env["CM_RESNET50_LOCAL"]


def test_the_output_folder_is_absolute(tmp_path: Path) -> None:
    base = str(tmp_path)
    assert folder({}, base) == ""
    assert folder({"CM_OUTDIRNAME": "out"}, base) == str(tmp_path / "out")
    assert folder({"CM_RESNET50_TO": "é a"}, base) == str(tmp_path / "é a")
    both = {"CM_OUTDIRNAME": "/one", "CM_RESNET50_TO": "/two"}
    assert folder(both, base) == str(Path("/one").absolute())
