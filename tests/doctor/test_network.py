"""``cmx-resnet50 doctor`` about the network: each wrong setting is one finding, with its fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SET = ("proxy", "ca_bundle", "ssl_cert_file", "cm_")


def doctor(tmp_path: Path, *options: str, **env: str) -> list[dict[str, Any]]:
    """Return what `doctor` finds with `env` and no other setting of the network."""
    kept = {key: value for key, value in os.environ.items() if not _is_set(key)}
    done = subprocess.run(
        [sys.executable, "-m", "cmx_resnet50", "doctor", "--json", *options],
        cwd=ROOT,
        env={**kept, "CM_REPOS": str(tmp_path / "CM"), "HOME": str(tmp_path), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


def wrong(tmp_path: Path, *options: str, **env: str) -> list[dict[str, Any]]:
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


def test_a_mirror_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "m 1").mkdir()
    assert not wrong(tmp_path, CM_RESNET50_MIRROR=(tmp_path / "m 1").as_uri())
