"""``list``, ``get``, ``prefetch``: the same files and keys as CM gives, from one store."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50.digests import digest_file
from tests.faults.support import trusting
from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM, Result
from tests.harness.origin import Origin

TOOL = "cmx-resnet50"
REQUESTS = {
    "": "onnx-opset-11",
    "onnx,opset-8": "onnx-opset-8",
    "onnx,from-tf": "onnx-from-tf",
    "tf,int8": "tensorflow",
    "pytorch,int8": "pytorch-int8",
    "ncnn,fp32": "ncnn",
    "tflite": "tflite-argmax",
    "tflite,int8": "tflite-edgetpu",
    "onnx,batch_size.4": "",
}
"""With the artifact whose bytes are delivered; none where they are made from it."""
PLACES = ("FILE_WITH_PATH", "CACHE_FILE_WITH_PATH", "PATH", "STARTING_FILE_PATH")
PLACES += ("PARAM_FILE_WITH_PATH",)


def tool(cm: CM, *arguments: str, **more: Any) -> Result:
    return cm.command(TOOL, *arguments, **more)


def parsed(result: Result) -> Any:
    assert result.ok, result.text
    return json.loads(result.out)


@pytest.mark.parametrize("names", REQUESTS)
def test_exports_what_cm_exports(cm: CM, served: dict[str, Path], names: str) -> None:
    asked = [name for name in names.split(",") if name]
    from_cm = cm.get(*asked)
    assert from_cm.ok, from_cm.text
    model = parsed(tool(cm, "get", *(f"_{name}" for name in asked), "--json"))
    exported = model["exports"]
    paths = {f"CM_ML_MODEL_{name}" for name in PLACES}
    assert exported.keys() == from_cm.env.keys()
    for key in exported.keys() - paths:
        assert exported[key] == from_cm.env[key], key
    for key in exported.keys() & paths - {"CM_ML_MODEL_PATH"}:
        assert Path(exported[key]).read_bytes() == Path(from_cm.env[key]).read_bytes(), key
        assert Path(exported[key]).name == Path(from_cm.env[key]).name
    for field, key in (("path", "FILE_WITH_PATH"), ("sha256", "SHA256"), ("md5", "MD5")):
        assert model[field] == exported[f"CM_ML_MODEL_{key}"]
    for field, key in (("size", "SIZE"), ("precision", "PRECISION"), ("weights", "WEIGHTS")):
        assert str(model[field]) == exported[f"CM_ML_MODEL_{key}"]
    assert (exported["CM_ML_MODEL_VERIFIED"] == "yes") is model["verified"] is True
    if REQUESTS[names]:
        content = Path(exported["CM_ML_MODEL_FILE_WITH_PATH"]).read_bytes()
        assert content == delivered(served[REQUESTS[names]])


def test_to_holds_the_model_and_nothing_else(cm: CM) -> None:
    for request, files in (
        ("_ncnn", {"resnet50_v1.bin", "resnet50_v1.param"}),
        ("_tf,_batch_size.2", {"resnet50_v1.pb"}),
    ):
        folder = cm.cwd / request
        result = tool(cm, "get", request, "--to", request)
        assert result.ok, result.text
        assert {path.name for path in folder.iterdir()} == files
        assert str(folder) in result.out
    assert not (cm.cwd / "original").exists()


def test_prints_one_line_and_progress_elsewhere(cm: CM) -> None:
    result = tool(cm, "get", "_pytorch")
    (line,) = result.out.splitlines()
    assert line.endswith("fetched)")
    assert "resnet50-19c8e357.pth" in result.err
    again = tool(cm, "get", "_pytorch", "--silent")
    assert again.out.strip().endswith("store)")
    assert again.err == ""


def test_sixteen_at_once_fetch_once(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    running = [
        cm.start("get", "_pytorch", "--to", f"to-{index % 8}", program=TOOL) for index in range(16)
    ]
    results = [one.wait() for one in running]
    for one in running:
        one.kill()
    for index, result in enumerate(results):
        assert result.ok, result.text
        (path,) = (cm.cwd / f"to-{index % 8}").iterdir()
        assert path.read_bytes() == delivered(served["pytorch-fp32"])
    assert origin.bytes_sent() < 1.1 * served["pytorch-fp32"].stat().st_size


def test_offline_names_what_is_missing(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    result = tool(cm, "get", "_onnx", "--offline")
    assert result.code == 4
    assert not origin.connects
    for text in ("resnet50_v1.onnx", digest_file(served["onnx-opset-11"]).md5):
        assert text in result.err
    assert result.out == ""
    assert tool(cm, "get", "_onnx").ok
    origin.clear_log()
    assert tool(cm, "get", "_onnx", "--offline").ok
    assert not origin.connects


def test_checkpoint_is_taken_without_network(
    cm: CM, origin: Origin, served: dict[str, Path]
) -> None:
    own = served["pytorch-fp32"]
    for given in (own, own.parent):
        model = parsed(tool(cm, "get", "_pytorch", "--checkpoint", str(given), "--json"))
        assert (model["verified"], model["origin"]) == (True, "local")
    assert not origin.connects
    wrong = tool(cm, "get", "_onnx", "--checkpoint", str(own))
    assert wrong.code == 5
    assert "is not resnet50_v1.onnx" in wrong.err
    assert tool(cm, "get", "--checkpoint", "nowhere.onnx").code == 1


def test_interrupted_it_ends_with_130_and_goes_on(cm: CM, origin: Origin) -> None:
    url = ARTIFACTS["pytorch-fp32"].url
    origin.fail(url, faults.Trickle(40_000))
    with cm.start("get", "_pytorch", program=TOOL) as running:
        origin.wait(lambda: origin.bytes_sent(url) > 20_000)
        running.interrupt()
        result = running.wait()
    assert result.code == 130
    assert "Traceback" not in result.err
    origin.heal()
    assert tool(cm, "get", "_pytorch").ok


def test_files_at_the_same_time_and_an_interrupt_of_both(
    cm: CM, origin: Origin, served: dict[str, Path]
) -> None:
    first, second = (ARTIFACTS[name].url for name in ("pytorch-fp32", "onnx-opset-8"))
    names = ("_pytorch", "_onnx,_opset-8", "_ncnn,_int8", "_tf")
    for url in (first, second):
        origin.fail(url, faults.Trickle(2_000))
    with cm.start("prefetch", "--jobs", "3", "_pytorch", *names, program=TOOL) as running:
        origin.wait(lambda: origin.bytes_sent(first) > 0 and origin.bytes_sent(second) > 0)
        origin.wait(lambda: "waiting for" in running.err)
        running.interrupt()
        result = running.wait()
    assert result.code == 130
    assert not [word for word in ("Traceback", "Fatal", "taking over") if word in result.err]
    origin.heal()
    done = tool(cm, "prefetch", "--jobs", "3", *names, "--json")
    assert done.code == 3
    found = json.loads(done.out)
    assert tuple(one["request"] for one in found) == names
    digests = [one["files"][0]["sha256"] for one in found if "files" in one]
    kinds = ("pytorch-fp32", "onnx-opset-8", "tensorflow")
    assert digests == [digest_file(served[kind]).sha256 for kind in kinds]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ((), 2, "COMMAND"),
        (("get", "--to"), 2, "--to"),
        (("get", "--of"), 2, "--of"),
        (("prefetch",), 2, "--all"),
        (("prefetch", "--all", "_onnx"), 2, "--all"),
        (("prefetch", "_onnx", "--jobs", "0"), 2, "--jobs"),
        (("bundle",), 2, "export"),
        (("bundle", "export", "x", "_onnx", "--all"), 2, "not both"),
        (("reshape", "a", "b", "--batch", "0"), 2, "--batch"),
        (("get", "_onxx"), 3, "Did you mean _onnx?"),
        (("get", "_ncnn,_int8"), 3, "The nearest requests"),
        (("get", "_ncnn,_int8"), 3, "Details: run `cmx-resnet50 docs choose`."),
        (("get", "--offline"), 4, "Details: run `cmx-resnet50 docs airgapped`."),
        (("get", "--checkpoint", "/etc/passwd"), 5, "Details: run `cmx-resnet50 docs notes`."),
        (("get", "_onnx,_tf"), 3, "Choose one framework: onnx or tensorflow"),
        (("get", "_tflite,_-argmax,_argmax"), 3, "Both requested and excluded: _argmax"),
        (("prefetch", "_ncnn,_int8"), 3, "_ncnn,_int8: No ResNet-50 file"),
        (("docs", "--output", "no/such/folder"), 6, "no/such/folder"),
    ],
)
def test_errors_say_what_is_wrong(cm: CM, arguments: tuple[str, ...], code: int, text: str) -> None:
    result = tool(cm, *arguments)
    assert result.code == code, result.text
    assert text in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


def test_wrong_option_value_is_named(cm: CM) -> None:
    result = tool(cm, "list", env={"CM_RESNET50_OFFLINE": "perhaps"})
    assert result.code == 1
    assert "CM_RESNET50_OFFLINE=perhaps" in result.err


def test_what_holds_for_all_requests_is_said_once(cm: CM, tmp_path: Path) -> None:
    asked = ("_ncnn,_dummy-weights", "_ncnn,_fp32,_dummy-weights", "_tf,_int8", "_tf,_int8,_argmax")
    result = tool(cm, "prefetch", *asked)
    assert result.ok, result.text
    assert result.err.count("weights are random") == 1
    result = tool(cm, "bundle", "export", str(tmp_path / "out.tar"), *asked[2:])
    assert result.ok, result.text
    assert result.err.count("No int8 file") == 1


def test_the_origin_is_one_of_the_words_that_help_explains(cm: CM, served: dict[str, Path]) -> None:
    shown = tool(cm, "get", "--help").out
    asked = {
        "fetched": ("_pytorch",),
        "store": ("_pytorch",),
        "local": ("_ncnn", f"--checkpoint={served['ncnn']}"),
        "dummy": ("_ncnn,_dummy-weights",),
    }
    for origin, arguments in asked.items():
        (line,) = tool(cm, "get", *arguments, "--silent").out.splitlines()
        assert line.endswith(f", {origin})")
        assert f" {origin} (" in " ".join(shown.split())


def test_every_request_of_the_list_can_be_asked_for(cm: CM, served: dict[str, Path]) -> None:
    rows = parsed(tool(cm, "list", "--all", "--json"))
    fetched = parsed(tool(cm, "prefetch", *(row["request"] for row in rows), "--json"))
    for row, got in zip(rows, fetched, strict=True):
        assert got["request"] == row["request"]
        assert got["files"][0]["file"] == row["file"]
        path = served[row["artifact"]]
        assert got["files"][0]["bytes"] == len(delivered(path))


def test_prefetch_all_brings_every_file_once(
    cm: CM, origin: Origin, served: dict[str, Path]
) -> None:
    rows = parsed(tool(cm, "prefetch", "--all", "--json"))
    found = {file["sha256"] for row in rows for file in row["files"]}
    assert len(found) == len(ARTIFACTS)
    assert {row["origin"] for row in rows} == {"fetched"}
    for name, path in served.items():
        assert sum(origin.bytes_sent(url) for url in ARTIFACTS[name].urls) < (
            1.1 * path.stat().st_size
        )
    origin.clear_log()
    again = tool(cm, "prefetch", "--all")
    assert again.ok
    assert again.out.count(" store ") == len(ARTIFACTS)
    assert not origin.requests


def test_prefetch_goes_on_after_a_failure(cm: CM, origin: Origin) -> None:
    for url in ARTIFACTS["onnx-opset-8"].urls:
        origin.forget(url)
    result = tool(cm, "prefetch", "_onnx,_opset-8", "_pytorch", "--json")
    assert result.code == 4
    failed, row = json.loads(result.out)
    assert failed["request"] == "_onnx,_opset-8"
    assert failed["error"]["kind"] == "network"
    assert failed["error"]["exit_code"] == 4
    assert row["request"] == "_pytorch"
    assert "_onnx,_opset-8: " in result.err
    assert "1 of 2 requests failed" in result.err


def test_drive_with_other_bytes_or_none(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    url = ARTIFACTS["onnx-from-tf"].url
    origin.serve(url, served["pytorch-fp32"])
    result = tool(cm, "prefetch", "_onnx,_from-tf")
    assert result.code == 5
    assert "wrong bytes" in result.err and "expected md5" in result.err
    origin.forget(url)
    result = tool(cm, "prefetch", "_onnx,_from-tf")
    assert result.code == 4
    assert "HTTP 404" in result.err
    # A browser may have more luck.
    saved = str(served["onnx-from-tf"])
    assert tool(cm, "get", "_onnx,_from-tf", f"--checkpoint={saved}").ok
    assert tool(cm, "get", "_onnx,_from-tf").ok


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a store of CAs")
@pytest.mark.parametrize(
    "name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"]
)
def test_drive_trusts_whom_all_else_trusts(
    cm: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    env = trusting(cm, origin, name)
    result = tool(cm, "get", "_onnx,_from-tf", "--json", env=env)
    path = Path(parsed(result)["path"])
    assert path.read_bytes() == served["onnx-from-tf"].read_bytes()
    assert tool(cm, "get", "_pytorch", env=env).ok


@pytest.mark.parametrize("bundle", ["", "no/such/bundle.pem"])
def test_drive_behind_a_ca_that_nobody_knows(cm: CM, origin: Origin, bundle: str) -> None:
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    result = tool(cm, "get", "_onnx,_from-tf", env=dict.fromkeys(names, bundle))
    assert result.code == 4
    assert ("no/such/bundle.pem" if bundle else "certificate") in result.err
    assert "Traceback" not in result.err
    assert not origin.requests


@pytest.mark.unmeasured
def test_a_fetch_imports_nothing_that_guesses_encodings(cm: CM, origin: Origin) -> None:
    result = tool(cm, "get", "_pytorch", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert result.ok and origin.requests
    assert "requests.sessions" in result.err
    for name in ("charset_normalizer.", "chardet.", "Warning"):
        assert name not in result.err


def test_a_reader_that_leaves_early_is_no_error(cm: CM) -> None:
    line = [cm.installation.bin / TOOL, "list", "--json"]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cm.environment(), cwd=cm.cwd
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""


def test_module_and_version(cm: CM) -> None:
    for result in (
        tool(cm, "--version"),
        cm.command("python", "-m", "cmx_resnet50", "--version"),
    ):
        assert result.ok, result.text
        assert re.fullmatch(r"cmx-resnet50 \d+\.\d+.*\n", result.out)


@pytest.mark.parametrize(
    "words",
    [
        ["get,ml-model,resnet50,_ncnn,_dummy-weights"],
        ["NCNN", "Dummy-Weights"],
        ["get", "ml-model", "resnet50", "_ncnn dummy-weights"],
    ],
)
def test_words_are_understood_as_they_are_typed(cm: CM, words: list[str]) -> None:
    known = parsed(tool(cm, "get", "_ncnn,_dummy-weights", "--json"))
    assert parsed(tool(cm, "get", *words, "--json"))["sha256"] == known["sha256"]


@pytest.mark.parametrize("typed", ["_onnx,_batch_size", "batch_size.#"])
def test_a_batch_without_its_number_says_how_to_write_it(cm: CM, typed: str) -> None:
    result = tool(cm, "get", typed)
    assert result.code == 3
    assert "write _batch_size.8." in result.err
