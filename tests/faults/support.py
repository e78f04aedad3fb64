"""What the fault tests share: impatient options, and a look at all that a run left behind."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM, Result
from tests.harness.faults import Behaviour, Stall, Trickle
from tests.harness.origin import Origin

IMPATIENT = {"CM_RESNET50_RETRY_BUDGET": "3"}
"""Options of users, set so that a fault that lasts for ever is over soon."""
SILENCE = {"CM_RESNET50_READ_TIMEOUT": "0.6", "CM_RESNET50_STALL_SECONDS": "1"}
"""The same for servers that fall silent, and for no others: a busy machine may be slow, too."""
PATIENT = {"CM_RESNET50_READ_TIMEOUT": "600", "CM_RESNET50_STALL_SECONDS": "600"}
"""What a silent server never comes to: what ends then has not waited for it."""


def options_for(behaviours: Sequence[Behaviour], budget: float = 3.0) -> dict[str, str]:
    """Return options under which such a fault is over soon."""
    silent = any(isinstance(one, (Stall, Trickle)) for one in behaviours)
    return {"CM_RESNET50_RETRY_BUDGET": str(budget), **(SILENCE if silent else {})}


def sweep(cases: Mapping[str, Any], everyday: str) -> list[Any]:
    """The cases as parameters; those whose ids are not in `everyday` are for the full run."""
    chosen = [name.strip() for name in everyday.split(",")]
    assert set(chosen) <= set(cases), set(chosen) - set(cases)
    full = {name: [] if name in chosen else [pytest.mark.full] for name in cases}
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), id=name, marks=full[name])
        for name, case in cases.items()
    ]


def store_of(engine: CM) -> Path:
    """The store that `cm` uses by default."""
    return engine.repos / "resnet50-store"


def objects(store: Path) -> dict[str, Path]:
    """The files of bytes in a store by the sha256 that they stand for."""
    return {path.parent.name: path for path in store.glob("objects/*/*/data")}


def only_object(store: Path) -> Path:
    """The file of bytes of a store that holds just one."""
    (path,) = objects(store).values()
    return path


def models(*folders: Path) -> Iterator[Path]:
    """Whatever stands under the name of a delivered file below `folders`, links included."""
    names = {artifact.file.removesuffix(".gz") for artifact in ARTIFACTS.values()}
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.name in names)


def assert_nothing_half_written(engine: CM, served: dict[str, Path], *folders: Path) -> None:
    """Whatever stands under a final name, in store, cache and `folders`, is whole."""
    for sha256, path in objects(store_of(engine)).items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path
    good = {hashlib.sha256(delivered(path)).digest() for path in served.values()}
    for path in models(engine.repos, engine.home / "tmp", engine.cwd, *folders):
        assert hashlib.sha256(path.read_bytes()).digest() in good, path


def assert_good(engine: CM, result: Result, served: dict[str, Path], name: str) -> None:
    """The run delivered the file of artifact `name`, and left nothing unfinished behind."""
    assert result.ok, result.text
    assert result.path.read_bytes() == delivered(served[name])
    assert result.env["CM_ML_MODEL_VERIFIED"] == "yes"
    assert_nothing_half_written(engine, served, result.path.parent)
    store = store_of(engine)
    left = [path for folder in ("incoming", "temporary") for path in (store / folder).rglob("*")]
    assert not left
    assert not list(store.glob("locks/*.holder"))


def assert_failed(engine: CM, result: Result, served: dict[str, Path], *told: str) -> None:
    """The run ended in an error of ours that says each of `told`, and left no wrong file."""
    assert result.code == 1, result.text
    for text in told:
        assert text in result.err, f"{text!r} is not in\n{result.text}"
    assert "Traceback" not in result.text
    assert not result.env
    assert_nothing_half_written(engine, served)


def assert_next_run_is_good(engine: CM, origin: Origin, served: dict[str, Path], name: str) -> None:
    """With the server well again, the same request is answered, and then from the cache."""
    variations = REQUESTS[name]
    origin.heal()
    assert_good(engine, engine.get(*variations), served, name)
    sent = len(origin.requests)
    assert_good(engine, engine.get(*variations), served, name)
    assert len(origin.requests) == sent


def trusting(engine: CM, origin: Origin, name: str) -> dict[str, str]:
    """Return an environment that knows the company's CA by this one variable.

    ``SSL_CERT_DIR`` stands for the system's own certificates: OpenSSL reads them from there,
    and neither requests nor we have any other way to see them.
    """
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    given = str(origin.authority.bundle)
    if name == "SSL_CERT_DIR":
        system = engine.home / "certs"
        system.mkdir()
        (system / "company.pem").write_bytes(origin.authority.bundle.read_bytes())
        subprocess.run(["openssl", "rehash", str(system)], check=True)
        given = str(system)
    return {**dict.fromkeys(names, ""), name: given}


REQUESTS = {
    "onnx-opset-11": (),
    "onnx-opset-8": ("onnx", "opset-8"),
    "tensorflow": ("tf",),
    "pytorch-fp32": ("pytorch",),
    "pytorch-int8": ("pytorch", "int8"),
    "ncnn": ("ncnn",),
    "tflite-argmax": ("tflite",),
    "tflite-no-argmax": ("tflite", "no-argmax"),
    "tflite-edgetpu": ("tflite", "int8", "no-argmax"),
}
"""Variations that mean an artifact."""
