"""A signed URL in a file: fetched from, and written down nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.test_identity import exported
from tests.harness.cm import CM
from tests.harness.origin import Origin

SECRET = "c2lnbmF0dXJl"
URL = f"https://models.example.org/mine/model.onnx?X-Amz-Signature={SECRET}"


def written(folder: Path) -> list[Path]:
    """Return the files below `folder` that hold the secret."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if SECRET.encode() in path.read_bytes()]


def test_it_is_fetched_and_no_secret_is_written(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    origin.serve(URL, served["onnx-opset-8"])
    given = engine.cwd / "signed-url.txt"
    given.write_text(f"{URL}\n")
    for verbose in (True, False):
        result = engine.get("onnx", url_file="signed-url.txt", v=verbose)
        assert result.ok, result.text
        assert result.path.read_bytes() == served["onnx-opset-8"].read_bytes()
        assert SECRET not in result.text
    assert written(engine.repos) == [] and written(engine.home) == [given]
    plain = engine.get("onnx")
    assert plain.ok, plain.text
    assert exported(plain.env, "VERIFIED") == "yes"
    assert plain.path.read_bytes() == served["onnx-opset-11"].read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("", "must hold one URL"),
        (f"{URL} x", "must hold one URL"),
        ("https://a.example.org/x;touch pwned", "words"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
@pytest.mark.under_mlc("x-must hold")
def test_a_file_without_one_url_is_refused(
    engine: CM, origin: Origin, content: str | bytes | None, said: str
) -> None:
    given = engine.cwd / "url.txt"
    if content is not None:
        given.write_bytes(content if isinstance(content, bytes) else content.encode())
    result = engine.get("onnx", url_file=str(given))
    assert result.code == 1 and said in result.err, result.text
    assert SECRET not in result.text and not origin.requests


def test_two_urls_and_a_tool_are_refused(engine: CM, origin: Origin) -> None:
    given = engine.cwd / "url.txt"
    given.write_text(URL)
    other = {"const.CM_PACKAGE_URL": "https://models.example.org/other.onnx"}
    result = engine.get("onnx", url_file=str(given), **other)
    assert result.code == 1 and engine.key("CM_RESNET50_URL_FILE") in result.err
    tool = engine.get("onnx", url_file=str(given), **{"adr.model-downloader.tags": "_wget"})
    assert tool.code == 1 and "_wget would write the URL down" in tool.err
    assert not origin.requests


def test_a_secret_in_const_is_named_with_the_way_out(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    origin.serve(URL, served["onnx-opset-8"])
    result = engine.get("onnx", **{"const.CM_PACKAGE_URL": URL})
    assert result.ok, result.text
    assert "--url_file=FILE" in result.err


def test_a_secret_of_a_mirror_in_env_is_named_with_the_way_out(engine: CM) -> None:
    mirror = f"https://me:{SECRET}@mirror.example.org"
    result = engine.get("onnx", **{"env.CM_RESNET50_MIRROR": mirror})
    assert result.ok, result.text
    assert "https://***@mirror.example.org holds a secret" in result.err
    assert SECRET not in result.err + result.out
    quiet = engine.also(variables={"CM_RESNET50_MIRROR": mirror}).get("tf")
    assert quiet.ok and "holds a secret" not in quiet.err
    assert SECRET not in quiet.text
