"""The file that is on Google Drive only, through ``cm``: fetched like all others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.support import assert_failed, assert_good, objects, store_of, trusting
from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM
from tests.harness.drive import confirmation, direct
from tests.harness.faults import Flip, Reset
from tests.harness.origin import Origin

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

NAME = "onnx-from-tf"
URL = ARTIFACTS[NAME].url
REQUEST = ("onnx", "from-tf")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a store of CAs")
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_it_trusts_whom_all_else_trusts(
    engine: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    env = trusting(engine, origin, name)
    assert_good(engine, engine.get(*REQUEST, env=env), served, NAME)
    origin.clear_log()
    assert_good(engine, engine.get(*REQUEST, env=env), served, NAME)
    assert not origin.connects


def test_a_ca_that_nobody_knows(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    result = engine.get(*REQUEST, env=dict.fromkeys(names, ""))
    assert_failed(engine, result, served, URL, "certificate", "drive.usercontent.google.com")
    assert not origin.requests
    assert_good(engine, engine.get(*REQUEST), served, NAME)


def test_other_bytes(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.fail(URL, Flip(5_000))
    assert_failed(engine, engine.get(*REQUEST), served, URL, "wrong bytes", "expected md5")
    assert not objects(store_of(engine))
    origin.heal()
    assert_good(engine, engine.get(*REQUEST), served, NAME)


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")
def test_another_tool_that_the_user_names(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    """The variation declares `_gdown`; the engine takes no two tools at once."""
    (cm.home / ".wgetrc").write_text(f"ca_certificate = {origin.authority.bundle}\n")
    options = {"adr.model-downloader.tags": "_wget"}
    assert_good(cm, cm.get(*REQUEST, **options), served, NAME)
    (record,) = origin.requests
    assert "wget" in record.headers["user-agent"].lower()


def test_the_page_in_front_of_the_file(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    """As Drive answers; the connection breaks, and is continued at the file itself."""
    file_id = URL.rpartition("=")[2]
    file = direct(file_id)
    page = confirmation(file_id)
    origin.serve(URL, bytes(page.body), headers=page.headers)
    origin.serve(file, served[NAME])
    origin.fail(file, Reset(20_000), times=1)
    result = engine.get(*REQUEST, env={"CM_RESNET50_CONNECTIONS": "1"})
    assert_good(engine, result, served, NAME)
    asked = [(request.url, request.range) for request in origin.requests]
    assert [url for url, _ in asked] == [URL, file, file]
    starts = [str(part).partition("-")[0] for _, part in asked]
    assert starts[:2] == ["bytes=0"] * 2 and starts[2] != "bytes=0"


def test_a_mirror_or_a_filled_store_is_as_good(
    engine: CM, tmp_path: Path, origin: Origin, served: dict[str, Path]
) -> None:
    missing = engine.get(*REQUEST, offline=True)
    assert_failed(engine, missing, served, ARTIFACTS[NAME].file, "offline mode is on")
    site = tmp_path / "site"
    site.mkdir()
    shutil.copyfile(served[NAME], site / ARTIFACTS[NAME].file)
    given = engine.get(*REQUEST, env={"CM_RESNET50_MIRROR": site.as_uri()})
    assert_good(engine, given, served, NAME)
    assert not origin.connects
