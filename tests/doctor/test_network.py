"""``cmx-resnet50 doctor`` about the network: each wrong setting is one finding, with its fix."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SET = ("proxy", "ca_bundle", "ssl_cert_file", "cm_")


def doctor(
    tmp_path: Path, *options: str, program: tuple[str, ...] = (), **env: str
) -> list[dict[str, Any]]:
    """Return what `doctor` finds with `env` and no other setting of the network."""
    kept = {key: value for key, value in os.environ.items() if not _is_set(key)}
    done = subprocess.run(
        [*program, sys.executable, "-m", "cmx_resnet50", "doctor", "--json", *options],
        cwd=ROOT,
        env={**kept, "CM_REPOS": str(tmp_path / "CM"), "HOME": str(tmp_path), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def wrong(tmp_path: Path, *options: str, **env: Any) -> list[dict[str, Any]]:
    """Return what is wrong beside the engines, which may not be installed here."""
    found = [one for one in doctor(tmp_path, *options, **env) if not one["ok"]]
    assert all(one["why"] and one["fix"] for one in found), found
    return [one for one in found if one["area"] not in ("CM", "MLC")]


def _is_set(key: str) -> bool:
    return any(part in key.lower() for part in SET)


@pytest.mark.parametrize("kind", ["missing", "above", "file"])
def test_a_mirror_whose_folder_is_missing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    folder = {"missing": "no pe", "above": "no pe/further", "file": "file"}[kind]
    mirror = (tmp_path / folder).as_uri()
    words = "is not a folder" if kind == "file" else f"folder {tmp_path / 'no pe'} does not exist"
    (one,) = wrong(tmp_path, CM_RESNET50_MIRROR=mirror)
    assert words in one["what"]
    assert "CM_RESNET50_MIRROR" in one["fix"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CM_RESNET50_MIRROR", "/tmp/nope"),
        ("CM_RESNET50_MIRROR", "https://127.0.0.1:99999/m"),
        ("CM_RESNET50_OFFLINE", "perhaps"),
        ("CM_RESNET50_STORE", "'/srv/store'"),
        ("CM_RESNET50_MIROR", "https://127.0.0.1/m"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--online",)], ids=["", "online"])
def test_an_invalid_option_is_one_finding(
    tmp_path: Path, name: str, value: str, options: tuple[str, ...]
) -> None:
    (one,) = wrong(tmp_path, *options, **{name: value})
    assert name in one["what"]
    assert one["fix"] == f"unset {name}"


def test_a_mirror_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "m 1").mkdir()
    assert not wrong(tmp_path, CM_RESNET50_MIRROR=(tmp_path / "m 1").as_uri())


CLOSED = "http://anna:s3cret@127.0.0.1:9"


def test_a_proxy_that_is_down_is_one_finding(tmp_path: Path) -> None:
    (one,) = wrong(tmp_path, "--online", HTTPS_PROXY=CLOSED)
    assert "public sources can be reached: the proxy 127.0.0.1:9 (HTTPS_PROXY)" in one["what"]
    assert one["fix"] == "export HTTPS_PROXY=http://HOST:PORT"
    assert "s3cret" not in str(one)


@pytest.mark.parametrize("variable", ["", "HTTP_PROXY"])
def test_no_network_is_one_finding(tmp_path: Path, variable: str) -> None:
    unshare = shutil.which("unshare")
    probe = unshare and subprocess.run([unshare, "-n", "true"], capture_output=True)
    if not probe or probe.returncode:
        pytest.skip("a network namespace can be made by root only")
    program = (str(unshare), "-n")
    env = {variable: CLOSED} if variable else {}
    (one,) = wrong(tmp_path, "--online", program=program, **env)
    assert "no name server answers, or there is no route" in one["what"]
    assert "https needs HTTPS_PROXY" in one["why"] if variable else "none is set" in one["why"]
    assert one["fix"].startswith("export HTTPS_PROXY=")
    assert "s3cret" not in str(one)


def test_a_port_that_cannot_be_is_what_is_wrong(tmp_path: Path) -> None:
    (one,) = wrong(tmp_path, HTTPS_PROXY="http://127.0.0.1:99999")
    assert "port" in one["what"] and "from 1 to 65535" in one["what"]
    assert "password" not in one["what"]
    assert one["fix"] == "export HTTPS_PROXY=http://HOST:PORT"


@pytest.mark.parametrize("url", [CLOSED, "http://127.0.0.1:9"])
def test_whether_a_proxy_has_credentials(tmp_path: Path, url: str) -> None:
    said = str(doctor(tmp_path, HTTPS_PROXY=url))
    assert f"(HTTPS_PROXY), with{'out' * (url != CLOSED)} a user name and a password" in said
    assert "s3cret" not in said and "anna" not in said


@pytest.mark.parametrize("kind", ["missing.pem", "empty"])
def test_a_ca_bundle_that_has_nothing(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    (one,) = wrong(tmp_path, REQUESTS_CA_BUNDLE=str(tmp_path / kind))
    assert str(tmp_path / kind) in one["what"]
    assert ("openssl rehash" in one["what"]) == (kind == "empty")
    assert "no https source is trusted" in one["why"]
    assert one["fix"] == "unset REQUESTS_CA_BUNDLE"
