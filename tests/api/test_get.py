"""`get`, `find` and `models`: which file comes, what is said of it, and what it costs."""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cmx_resnet50 import (
    DigestError,
    DiskFullError,
    FetchError,
    Model,
    OfflineError,
    OptionError,
    RequestError,
    Resnet50Error,
    Resnet50Warning,
    StoreError,
    find,
    get,
    inspect,
    models,
)
from cmx_resnet50.digests import digest_file
from tests.api.conftest import World
from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.origin import Origin

QUIET: dict[str, Any] = {"progress": False}


@pytest.fixture
def mirror(world: World, tmp_path: Path) -> str:
    """Return the address of a site's own copies: no network is needed."""
    folder = tmp_path / "mirror" / "md5"
    folder.mkdir(parents=True)
    for path in world.served.values():
        (folder / digest_file(path).md5).symlink_to(path)
    return folder.parent.as_uri()


@pytest.mark.parametrize(
    ("request_text", "fields", "name"),
    [
        ("", {}, "onnx-opset-11"),
        ("_onnx,_opset-8", {}, "onnx-opset-8"),
        ("onnx opset-8", {}, "onnx-opset-8"),
        ("onnx", {"opset": 8}, "onnx-opset-8"),
        ("", {"framework": "tensorflow"}, "tensorflow"),
        ("tf", {}, "tensorflow"),
        ("pytorch", {"precision": "int8"}, "pytorch-int8"),
        ("tflite", {"argmax": False}, "tflite-no-argmax"),
        ("tflite", {"argmax": True}, "tflite-argmax"),
        ("tflite _int8", {}, "tflite-edgetpu"),
        ("ncnn", {}, "ncnn"),
    ],
)
def test_the_file_that_is_requested(
    world: World, mirror: str, user: Path, request_text: str, fields: dict[str, Any], name: str
) -> None:
    model = get(request_text, "out", mirror=mirror, offline=True, **fields, **QUIET)
    content = delivered(world.served[name])
    assert model.name == name
    assert model.path.parent == user / "out"
    assert model.path.read_bytes() == content
    assert digest_file(model.path) == type(digest_file(model.path))(
        model.md5, model.sha256, model.size
    )
    assert (model.verified, model.origin, model.weights) == (True, "fetched", "pretrained")
    assert model.url == ARTIFACTS[name].url
    again = get(request_text, mirror=mirror, offline=True, **fields, **QUIET)
    assert again.origin == "store"
    assert again.path.parent != model.path.parent
    assert find(request_text, **fields) == again
    json.dumps(model.to_dict())


def test_what_a_model_says_is_what_its_file_says(mirror: str) -> None:
    for known in models():
        model = get(known.requests[0], mirror=mirror, offline=True, **QUIET)
        facts = inspect(model.path)
        assert model.request == known.requests[0]
        assert (model.format, model.preprocessing, model.license, model.top1) == (
            known.format,
            known.preprocessing,
            known.license,
            known.top1,
        )
        assert model.format == facts.format
        assert model.classes == facts.classes
        assert facts.layout in (None, model.layout)
        if model.precision != "int8":
            assert model.precision == facts.precision
        assert model.opset == facts.version.get("opset")
        for mine, read in ((model.inputs, facts.inputs), (model.outputs, facts.outputs)):
            assert mine
            assert [tensor.name for tensor in mine] == [t.name for t in read] or not read
            for tensor, other in zip(mine, read, strict=False):
                assert tensor.shape == (other.shape or tensor.shape)
                assert tensor.shape is not None


def test_two_files_that_belong_together(mirror: str) -> None:
    model = get("ncnn", mirror=mirror, **QUIET)
    assert [path.name for path in model.files] == ["resnet50_v1.bin", "resnet50_v1.param"]
    assert model.files[0] == model.path
    assert {path.parent for path in model.files} == {model.path.parent}


def test_a_batch_that_is_true_in_the_file(mirror: str, world: World) -> None:
    for framework in ("onnx", "tensorflow"):
        assert find(framework, batch=4) is None
        model = get(framework, batch=4, mirror=mirror, **QUIET)
        assert model.original is not None
        assert model.original.read_bytes() == world.served[model.name].read_bytes()
        assert [tensor.shape and tensor.shape[0] for tensor in model.outputs] == [4, 4]
        assert inspect(model.path).inputs[0].shape == model.inputs[0].shape
        assert model.inputs[0].shape and model.inputs[0].shape[0] == 4
        assert find(framework, batch=4) is not None
        assert find(framework, batch=5) is None


def test_random_weights(filled: Path) -> None:
    model = get("onnx", dummy=True, offline=True)
    assert (model.weights, model.top1, model.url) == ("dummy", None, "dummy:onnx-opset-11")
    assert model.preprocessing is not None
    assert "random" in model.notices[0]


def test_find_opens_no_socket_and_makes_nothing(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a socket")

    monkeypatch.setattr(socket, "socket", refused)
    for request in ("onnx", "ncnn", "onnx dummy-weights", "tf batch_size.2"):
        assert find(request) is None
    assert not (tmp_path / "store").exists()
    get("ncnn", mirror=mirror, **QUIET)
    found = find("ncnn", "mine")
    assert found is not None
    assert [path.parent.name for path in found.files] == ["mine", "mine"]
    for path in [path for file in found.files for path in tmp_path.rglob(file.name)]:
        path.unlink()
    for path in tmp_path.glob("store/objects/*/*/data"):
        if path.stat().st_size == found.size:
            path.unlink()
    assert find("ncnn") is None


def test_many_threads_fetch_once(internet: Origin, world: World) -> None:
    together = threading.Barrier(16)

    def run(number: int) -> Model:
        together.wait()
        return get("pytorch", f"to-{number % 4}", **QUIET)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(run, range(16)))
    content = world.served["pytorch-fp32"].read_bytes()
    for model in found:
        assert model.path.read_bytes() == content
        assert model.verified
    assert sum(model.origin == "fetched" for model in found) == 1
    assert internet.bytes_sent() < 1.1 * len(content)


def test_threads_that_want_different_files(internet: Origin) -> None:
    requests = [known.requests[0] for known in models() if known.name != "onnx-from-tf"]
    with ThreadPoolExecutor(len(requests)) as pool:
        found = list(pool.map(lambda request: get(request, **QUIET), requests * 2))
    assert [model.request for model in found] == requests * 2
    assert len({model.sha256 for model in found}) == len(requests)


def test_progress_goes_to_stderr_and_only_there(
    internet: Origin, capfd: pytest.CaptureFixture[str]
) -> None:
    get("pytorch")
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "resnet50-19c8e357.pth" in shown.err
    get("pytorch")
    get("onnx", progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_as_a_function(internet: Origin, capfd: pytest.CaptureFixture[str]) -> None:
    steps: list[tuple[str, int, int | None]] = []
    model = get("pytorch", progress=lambda *step: steps.append(step))
    assert steps[-1] == (model.path.name, model.size, model.size)
    assert [step[1] for step in steps] == sorted(step[1] for step in steps)
    assert capfd.readouterr() == ("", "")


def test_a_function_can_end_the_transfer_which_is_resumed(internet: Origin, world: World) -> None:
    size = world.served["pytorch-fp32"].stat().st_size
    internet.fail(ARTIFACTS["pytorch-fp32"].url, faults.Trickle(50_000))

    class EnoughError(Exception):
        pass

    def stop(name: str, count: int, total: int | None) -> None:
        if count > 10_000:
            raise EnoughError(name)

    with pytest.raises(EnoughError, match="resnet50"):
        get("pytorch", progress=stop)
    assert find("pytorch") is None
    internet.heal()
    assert get("pytorch", **QUIET).origin == "fetched"
    assert internet.bytes_sent() < 1.5 * size


def test_deviations_are_warnings_and_errors_when_strict(mirror: str) -> None:
    with pytest.warns(Resnet50Warning, match="No int8 file of ResNet-50 for onnx") as caught:
        model = get("onnx int8", mirror=mirror, **QUIET)
    assert caught[0].filename == __file__
    assert model.precision == "fp32"
    assert (model.deviations, model.notices) == ((str(caught[0].message),), ())
    with pytest.raises(RequestError, match="No int8 file"):
        get("onnx int8", mirror=mirror, strict=True, **QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert get("onnx", mirror=mirror, **QUIET).deviations == ()


@pytest.mark.parametrize(
    ("request_text", "fields", "text"),
    [
        ("ncnn int8", {}, "No ResNet-50 file exists"),
        ("onxx", {}, "_onnx"),
        ("onnx", {"framework": "tensorflow"}, "onnx or tensorflow"),
        ("", {"batch": 0}, "positive integer"),
        ("batch_size.many", {}, "positive integer"),
        ("batch_size.2", {"batch": 3}, "batch_size.2 or batch_size.3"),
        ("", {"opset": 12}, "opset-12"),
        ("pytorch int8", {"dummy": True}, "random weights are not available"),
    ],
)
def test_requests_that_mean_no_file(request_text: str, fields: dict[str, Any], text: str) -> None:
    for function in (get, find):
        with pytest.raises(RequestError, match=text):
            function(request_text, **fields)


def test_a_refusal_names_requests_that_can_be_made(mirror: str) -> None:
    with pytest.raises(RequestError) as refused:
        get("ncnn int8")
    for request in refused.value.nearest:
        assert get(request, mirror=mirror, **QUIET).request == request


def test_errors_say_of_which_kind_they_are(user: Path, world: World, tmp_path: Path) -> None:
    with pytest.raises(OfflineError, match=r"resnet50_v1\.onnx"):
        get("onnx", offline=True)
    with pytest.raises(FetchError, match="Sources") as failed:
        get("onnx", retry_budget=1, connect_timeout=1, **QUIET)
    assert len(failed.value.attempts) == len(ARTIFACTS["onnx-opset-11"].urls)
    (user / "file").write_text("")
    with pytest.raises(StoreError):
        get("pytorch", "file", checkpoint=world.served["pytorch-fp32"])
    with pytest.raises(StoreError):
        get("pytorch", store=user / "file", checkpoint=world.served["pytorch-fp32"])
    with pytest.raises(Resnet50Error, match="does not exist"):
        get("pytorch", checkpoint="nowhere.pth")


def test_a_source_that_gives_another_file(mirror: str, internet: Origin, world: World) -> None:
    url = ARTIFACTS["pytorch-int8"].url
    internet.serve(url, world.served["ncnn"])
    with pytest.raises(DigestError, match="expected") as failed:
        get("pytorch int8", **QUIET)
    assert isinstance(failed.value, FetchError)
    internet.forget(url)
    with pytest.raises(FetchError, match="404") as failed:
        get("pytorch int8", **QUIET)
    assert not isinstance(failed.value, DigestError)


def test_no_room(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    monkeypatch.setattr(os, "pwrite", full)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError):
        get("pytorch", mirror=mirror, **QUIET)


def test_a_copy_of_the_users_own(world: World, user: Path) -> None:
    own = world.served["pytorch-fp32"]
    (user / "mine").symlink_to(own.parent)
    for given in (own, own.parent, "mine"):
        model = get("pytorch", checkpoint=given, **QUIET)
        assert (model.origin, model.verified) == ("local", True)
        assert Path(model.url.removeprefix("file://")).samefile(own)
    other = user / "mine.onnx"
    other.write_bytes(world.served["onnx-opset-8"].read_bytes())
    with pytest.raises(DigestError, match=r"is not resnet50_v1\.onnx"):
        get("onnx", checkpoint=other, **QUIET)
    model = get("onnx", checkpoint=other, accept_any=True, **QUIET)
    assert (model.name, model.opset, model.verified) == ("onnx-opset-8", 8, False)


def test_a_file_of_unknown_origin_has_no_published_facts(world: World, user: Path) -> None:
    import onnx

    content = onnx.load(world.served["onnx-opset-11"])
    content.producer_name = "somebody"
    onnx.save(content, user / "mine.onnx")
    model = get("onnx", checkpoint="mine.onnx", accept_any=True, **QUIET)
    assert (model.verified, model.origin) == (False, "local")
    assert (model.preprocessing, model.license, model.top1) == (None, None, None)
    assert (model.opset, model.classes, model.layout) == (11, 1001, "NCHW")


def test_settings_override_the_environment(
    mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CM_RESNET50_MIRROR", "file:///nowhere")
    monkeypatch.setenv("CM_RESNET50_OFFLINE", "yes")
    monkeypatch.setenv("CM_RESNET50_STRICT", "yes")
    with pytest.raises(OfflineError):
        get("pytorch", **QUIET)
    model = get("pytorch", mirror=[mirror], store=str(tmp_path / "other"), **QUIET)
    assert (tmp_path / "other").resolve() in model.path.resolve().parents
    with pytest.raises(RequestError):
        get("onnx int8", mirror=mirror, **QUIET)
    with pytest.warns(Resnet50Warning):
        get("onnx int8", mirror=mirror, strict=False, **QUIET)
    with pytest.raises(OptionError, match="connections=0"):
        get(connections=0)
    with pytest.raises(TypeError, match=r"conections.*framework, .* store, "):
        get(conections=2)  # type: ignore[call-arg]
    monkeypatch.setenv("CM_RESNET50_OFFLINE", "perhaps")
    with pytest.raises(OptionError, match="CM_RESNET50_OFFLINE=perhaps"):
        get()


def test_models_are_all_that_is_published() -> None:
    known = models()
    assert {model.name for model in known} == ARTIFACTS.keys() - {"ncnn-param"}
    for model in known:
        published = ARTIFACTS[model.name]
        assert (model.url, *model.mirrors) == published.urls
        assert model.file == published.file.removesuffix(".gz")
    requests = [request for model in known for request in model.requests]
    assert len(set(requests)) == len(requests) > len(known)


def test_preprocessing_in_one_form_for_all() -> None:
    by_name = {model.name: model.preprocessing for model in models()}
    vgg, torch, edge = (by_name[n] for n in ("tensorflow", "pytorch-int8", "tflite-edgetpu"))
    assert vgg and torch and edge
    assert (vgg.mean, vgg.scale, vgg.label_offset) == ((123.68, 116.78, 103.94), (1, 1, 1), -1)
    for value in (0, 100, 255):
        for channel, (mean, std) in enumerate(
            zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
        ):
            expected = (value / 255 - mean) / std
            found = (value - torch.mean[channel]) * torch.scale[channel]
            assert found == pytest.approx(expected)
    assert (edge.channel_order, edge.quantized, edge.resize, edge.label_offset) == (
        "BGR",
        True,
        None,
        None,
    )


def test_a_damaged_file_is_repaired_and_logged(
    mirror: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = get("pytorch", "mine", mirror=mirror, **QUIET).path.read_bytes()
    (data,) = tmp_path.glob("store/objects/*/*/data")
    data.unlink()
    data.write_bytes(bytes(len(content)))
    with caplog.at_level(logging.INFO, "cmx_resnet50"):
        assert get("pytorch", **QUIET).path.read_bytes() == content
    assert "rebuilt from" in caplog.text
    assert capfd.readouterr() == ("", "")
    data.unlink()
    assert get("pytorch").path.read_bytes() == content
    assert "rebuilt from" in capfd.readouterr().err
