"""The runner: what a process sees, and how it may end."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Callable

import pytest

from tests.harness import faults
from tests.harness.artifacts import ARTIFACTS
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.origin import Origin

URL = ARTIFACTS["onnx-opset-11"].url


def test_nothing_of_the_outer_environment_gets_through(
    old_cm: CM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("ALL_PROXY", "http://elsewhere")
    monkeypatch.setenv("CM_RESNET50_OFFLINE", "yes")
    code = "import json, os, sys; print(json.dumps([dict(os.environ), sys.prefix, sys.path]))"
    result = old_cm.command("python", "-c", code, env={"EXTRA": "1"})
    env, prefix, path = json.loads(result.out)
    assert not {"PYTHONDONTWRITEBYTECODE", "ALL_PROXY", "CM_RESNET50_OFFLINE"} & set(env)
    assert env["EXTRA"] == "1"
    assert env["CM_REPOS"] == str(old_cm.repos)
    assert env["HOME"] == str(old_cm.home)
    assert prefix == str(old_cm.installation.prefix)
    assert [place for place in path if "site-packages" in place] == [
        str(old_cm.installation.site_packages)
    ]


def test_without_an_origin_there_is_no_network(old_cm: CM) -> None:
    result = dataclasses.replace(old_cm, origin=None).get()
    assert not result.ok
    assert "proxy" in result.error.lower()


def test_a_terminal_is_one_and_no_terminal_is_none(old_cm: CM) -> None:
    code = "import sys; print([s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)])"
    assert old_cm.command("python", "-c", code).out == "[False, False, False]\n"
    assert old_cm.command("python", "-c", code, tty=True).out == "[True, True, True]\n"


def test_a_run_that_is_killed_in_the_middle(old_cm: CM, origin: Origin) -> None:
    origin.fail(URL, faults.Stall(after=50_000))
    with old_cm.start(*old_cm.request(quiet=True)) as running:
        origin.wait(lambda: origin.bytes_sent(URL) == 50_000)
        running.kill()
        result = running.wait()
    assert result.code == -signal.SIGKILL
    assert result.saved == {}
    assert f"_url.{URL}" in result.err


def test_a_run_that_is_interrupted_or_takes_too_long(old_cm: CM, origin: Origin) -> None:
    origin.fail(URL, faults.Stall())
    with old_cm.start(*old_cm.request(quiet=True)) as running:
        origin.wait(lambda: bool(origin.asked(URL)))
        running.interrupt()
        assert not running.wait().ok
    with pytest.raises(TimeoutError, match="took over 2 s"):
        old_cm.get(timeout=2)


def test_two_runs_side_by_side(
    new_cm: Callable[..., CM], upstream: Installation, origin: Origin
) -> None:
    # Each with a CM_REPOS of its own: in one, the engine may read what the other is writing.
    anna, otto = new_cm("anna", upstream), new_cm("otto", upstream)
    with (
        anna.start(*anna.request("pytorch", quiet=True)) as one,
        otto.start(*otto.request("tf", quiet=True)) as other,
    ):
        results = [one.wait(), other.wait()]
    for result in results:
        assert result.ok, result.text
    assert results[0].path.name != results[1].path.name
    assert len(origin.requests) == 2


def test_an_error_of_access_is_an_answer(old_cm: CM) -> None:
    tags = "get,ml-model,resnet50,_pytorch,_uint8"
    answer = old_cm.access({"action": "run", "automation": "script", "tags": tags})
    assert answer["return"] > 0
    assert "please specify URL" in answer["error"]
