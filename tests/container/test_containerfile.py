"""The ``Containerfile``, by the commands of docs/containers.md."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container import page
from tests.container.podman import Podman
from tests.harness.cm import CM
from tests.harness.origin import Origin

pytestmark = pytest.mark.container

OURS = "$(id -u):$(id -g)"
SOMEBODY = pwd.getpwnam("nobody")


@pytest.fixture(scope="module")
def built(host: CM, checkout: Path) -> str:
    """Build the image; return what the page's first commands print."""
    (commands, *_) = page.blocks("Without CM: the Containerfile")
    return page.shell(host, checkout, commands)


@pytest.fixture
def models(checkout: Path, built: str) -> Iterator[Path]:
    """Return the folder that the page's commands fill; it is somebody's who is not root."""
    folder = checkout / "models"
    folder.mkdir(exist_ok=True)
    os.chown(folder, SOMEBODY.pw_uid, SOMEBODY.pw_gid)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    os.chown(folder, 0, 0)


@pytest.fixture
def anna(host: CM, tmp_path: Path) -> CM:
    """Return a user whose store lies where it does by default."""
    home = tmp_path / "home"
    return host.also(home=home, repos=home / "CM", template=host.repos)


def as_somebody(commands: str) -> str:
    """Let the commands of a page be run by somebody who is not root."""
    assert OURS in commands
    return commands.replace(OURS, f"{SOMEBODY.pw_uid}:{SOMEBODY.pw_gid}")


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    assert (file.stat().st_uid, file.stat().st_gid) == (SOMEBODY.pw_uid, SOMEBODY.pw_gid)
    return file


def test_the_image_is_the_command(podman: Podman, built: str) -> None:
    assert "_tflite,_int8,_no-argmax" in built
    (image,) = json.loads(podman("image", "inspect", "cmx-resnet50"))
    assert image["Config"]["Entrypoint"] == ["cmx-resnet50"]
    assert image["Config"]["User"] == "resnet50"


def test_the_images_own_user_may_write_the_store(podman: Podman, built: str) -> None:
    container = ("run", "--rm", "--network", "none", "cmx-resnet50")
    for kind in ("onnx", "tflite"):
        assert "/store/" in podman(*container, "get", f"_{kind},_dummy-weights")


def test_a_file_in_ones_own_folder(anna: CM, checkout: Path, models: Path) -> None:
    commands = page.blocks("Without CM: the Containerfile")[1]
    page.shell(anna, checkout, as_somebody(commands))
    assert only(models).name == "resnet50_v1.pb"
    meta = (checkout / "_cm.json").read_text(encoding="utf-8")
    assert hashlib.sha256(only(models).read_bytes()).hexdigest() in meta


def test_a_file_is_fetched_once(
    anna: CM, empty_origin: Origin, checkout: Path, models: Path, served: dict[str, Path]
) -> None:
    file = served["onnx-opset-11"]
    empty_origin.serve(f"http://mirror.example.com/{file.name}", file)
    commands = page.blocks("Fetch once")[0]
    asked = []
    for _ in range(2):
        page.shell(
            anna.also(origin=empty_origin),
            checkout,
            as_somebody(commands),
            {"CM_RESNET50_MIRROR": "http://mirror.example.com"},
        )
        assert only(models).read_bytes() == file.read_bytes()
        only(models).unlink()
        asked.append(len(empty_origin.requests))
    assert asked[0] > 0
    assert asked[1] == asked[0]


def test_a_file_is_fetched_through_a_companys_proxy(
    anna: CM, origin: Origin, checkout: Path, models: Path, served: dict[str, Path]
) -> None:
    commands = page.blocks("Fetch once")[1]
    page.shell(anna.also(origin=origin), checkout, as_somebody(commands))
    assert only(models).read_bytes() == served["pytorch-fp32"].read_bytes()
    assert len({record.url for record in origin.requests if record.sent}) == 1


def test_a_store_that_is_filled_already(
    anna: CM, origin: Origin, checkout: Path, models: Path, served: dict[str, Path]
) -> None:
    done = anna.also(origin=origin).command("cmx-resnet50", "prefetch", "_tflite,_no-argmax")
    assert done.ok, done.text
    (commands,) = page.blocks("A store that is already filled")
    page.shell(anna, checkout, as_somebody(commands))
    assert only(models).read_bytes() == served["tflite-no-argmax"].read_bytes()
    missing = as_somebody(commands).replace("tflite no-argmax", "pytorch")
    assert "is only read" in page.fails(anna, checkout, missing)


def test_another_base_and_clearing_up(podman: Podman, anna: CM, checkout: Path, built: str) -> None:
    page.run(anna, checkout, "Another base, and cleaning up")
    assert "localhost/cmx-resnet50" not in podman("images", "--format", "{{.Repository}}").split()
