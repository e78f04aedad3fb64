"""The file that lies on Google Drive only, through ``cm``: who fetches it, and whom that trusts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import _indexed, _install
from tests.faults.support import assert_failed, assert_good, objects, store_of, trusting
from tests.harness.artifacts import ARTIFACTS
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.faults import Flip
from tests.harness.origin import Origin

NAME = "onnx-from-tf"
URL = ARTIFACTS[NAME].url
REQUEST = ("onnx", "from-tf")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl to make a store of CAs")
@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_it_trusts_whom_all_else_trusts(
    cm: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    env = trusting(cm, origin, name)
    assert_good(cm, cm.get(*REQUEST, env=env), served, NAME)
    origin.clear_log()
    assert_good(cm, cm.get(*REQUEST, env=env), served, NAME)
    assert not origin.connects


def test_a_ca_that_nobody_knows(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    result = cm.get(*REQUEST, env=dict.fromkeys(names, ""))
    assert_failed(cm, result, served, URL, "certificate", "--checkpoint=")
    assert not origin.requests
    assert_good(cm, cm.get(*REQUEST), served, NAME)


def test_other_bytes(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.fail(URL, Flip(5_000))
    assert_failed(cm, cm.get(*REQUEST), served, URL, "md5 is", "expected")
    assert not objects(store_of(cm))
    origin.heal()
    assert_good(cm, cm.get(*REQUEST), served, NAME)


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")
def test_another_tool_that_the_user_names(cm: CM, origin: Origin, served: dict[str, Path]) -> None:
    """The variation declares gdown; the engine takes no two tools at once."""
    (cm.home / ".wgetrc").write_text(f"ca_certificate = {origin.authority.bundle}\n")
    options = {"adr.model-downloader.tags": "_wget"}
    assert_good(cm, cm.get(*REQUEST, **options), served, NAME)
    (record,) = origin.requests
    assert "wget" in record.headers["user-agent"].lower()


@pytest.fixture(scope="session")
def bare(
    wheel: Path, served: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """Return an environment without gdown."""
    prefix = tmp_path_factory.mktemp("bare") / "ours"
    _install(prefix, wheel, served, tools=("pip",))
    return Installation(prefix, "cmx_resnet50")


def test_gdown_is_only_needed_for_drive_itself(
    cm: CM,
    bare: Installation,
    tmp_path: Path,
    origin: Origin,
    served: dict[str, Path],
) -> None:
    """On a machine without gdown and without a network, all other ways to the file work."""
    other = CM(bare, tmp_path / "dummy", tmp_path / "dummy-CM", origin, _indexed(bare))
    dummy = other.get(*REQUEST, "dummy-weights")
    assert dummy.ok, dummy.text
    alone = CM(bare, tmp_path / "alone", tmp_path / "alone-CM", origin, _indexed(bare))
    missing = alone.get(*REQUEST, offline=True)
    assert_failed(alone, missing, served, ARTIFACTS[NAME].file, "offline mode is on")
    site = tmp_path / "site"
    site.mkdir()
    shutil.copyfile(served[NAME], site / ARTIFACTS[NAME].file)
    given = alone.get(*REQUEST, env={"CM_RESNET50_MIRROR": site.as_uri()})
    assert_good(alone, given, served, NAME)
    assert not origin.connects
    assert cm.get(*REQUEST).ok
    shared = {"CM_RESNET50_STORE": str(store_of(cm))}
    other = CM(bare, tmp_path / "other", tmp_path / "other-CM", origin, _indexed(bare), shared)
    result = other.get(*REQUEST, offline=True)
    assert result.ok, result.text
    assert result.path.read_bytes() == served[NAME].read_bytes()
