"""``cm test script get-ml-model-resnet50``: what ``tests`` of the meta says, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.harness.cm import CM
from tests.harness.origin import Origin

TEST = ("test", "script", "get-ml-model-resnet50")


def test_it_passes_offline_with_random_weights(cm: CM, origin: Origin) -> None:
    result = cm.run(*TEST, env={"CM_RESNET50_OFFLINE": "yes"})
    assert result.ok, result.text
    assert "The weights are random" in result.err
    assert "sha256" in result.out + result.err
    (model,) = cm.repos.glob("repos/local/cache/*/model/resnet50_v1.onnx")
    assert model.stat().st_size > 100_000_000
    assert not origin.requests


@pytest.mark.callers
def test_it_needs_no_network_device(cm: CM) -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("makes a network namespace: needs root and unshare")
    line = ["unshare", "-n", str(cm.installation.bin / "cm"), *TEST]
    done = subprocess.run(
        line, env=cm.environment(), cwd=cm.cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The weights are random" in done.stderr


def test_it_fails_where_the_script_does(cm: CM) -> None:
    result = cm.run(*TEST, env={"CM_RESNET50_CONNECTIONS": "none"})
    assert result.code == 1
    assert "CM_RESNET50_CONNECTIONS" in result.err
