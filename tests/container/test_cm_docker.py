"""``cm docker script``, by the commands of docs/containers.md: what it makes, and whose it is."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container import page
from tests.container.podman import Podman
from tests.harness.artifacts import ARTIFACTS
from tests.harness.build import Installation
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.harness.server import Server

pytestmark = [pytest.mark.container, pytest.mark.usefixtures("image")]

IMAGE = "localhost/local/cmx-resnet50-0.1.0:ubuntu-22.04-latest"
SOMEBODY = pwd.getpwnam("nobody")
"""A user of every Debian, who is not root."""


@pytest.fixture
def models(checkout: Path) -> Iterator[Path]:
    """Return the folder that the page's commands fill, empty before and after."""
    folder = checkout / "models"
    for path in folder.iterdir():
        path.unlink()
    yield folder
    for path in folder.iterdir():
        path.unlink()


@pytest.fixture
def anna(host: CM, tmp_path: Path) -> CM:
    """Return a user with a cache and a store of her own, and no network."""
    return host.also(home=tmp_path / "home", repos=tmp_path / "CM", template=host.repos)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def only(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def asked(origin: Origin, name: str) -> int:
    """How many requests for an artifact were answered with bytes of it."""
    return sum(
        record.sent > 0
        for record in origin.requests
        if record.method == "GET" and record.url in ARTIFACTS[name].urls
    )


def test_the_first_section_makes_an_image_and_a_dummy(
    podman: Podman, anna: CM, checkout: Path, models: Path, installation: Installation
) -> None:
    assert IMAGE in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    commands = page.blocks("Build and run")[1]
    said = page.shell(anna, checkout, commands)
    assert "Docker image exists" in said
    assert sha256(only(models)) in (installation.script / "_cm.json").read_text(encoding="utf-8")
    assert podman("ps", "--all", "--quiet") == ""


def test_a_dummy_of_each_kind_can_be_written(anna: CM, checkout: Path, models: Path) -> None:
    command = "cm docker script --tags=get,ml-model,resnet50"
    assert command in page.text()
    page.shell(anna, checkout, f"{command},_tflite,_dummy-weights --quiet --to=models")
    assert only(models).name == "resnet50_v1.tflite"


def test_names_are_resolved_as_on_the_host(anna: CM, checkout: Path) -> None:
    servers = re.findall(r"^nameserver .*$", Path("/etc/resolv.conf").read_text(), re.MULTILINE)
    if not servers:
        pytest.skip("this machine has no name server")
    command = (
        'cm docker script "get ml-model resnet50 _dummy-weights" --quiet '
        '--docker_pre_run_cmds,="cat /etc/resolv.conf","ls /sys/class/net"'
    )
    said = page.shell(anna, checkout, command).splitlines()
    assert set(servers) <= set(said)
    assert {path.name for path in Path("/sys/class/net").iterdir()} <= set(said)


def test_what_the_host_has_is_not_fetched_again(
    anna: CM, origin: Origin, checkout: Path, models: Path, served: dict[str, Path]
) -> None:
    held, missing, named = page.blocks("What you have is not fetched again")
    online = anna.also(origin=origin)
    page.shell(online, checkout, held)
    assert asked(origin, "onnx-opset-8") == 1
    assert sha256(only(models)) == sha256(served["onnx-opset-8"])
    only(models).unlink()
    before = sorted((anna.repos / "resnet50-store").rglob("*"))

    page.shell(online, checkout, missing)
    page.shell(online, checkout, missing)
    assert asked(origin, "pytorch-fp32") == 1
    assert sha256(only(models)) == sha256(served["pytorch-fp32"])
    only(models).unlink()

    page.shell(online, checkout, named)
    assert sha256(only(models)) == sha256(served["tflite-no-argmax"])
    kept = list((checkout / "store" / "objects").rglob("data"))
    assert [sha256(path) for path in kept] == [sha256(served["tflite-no-argmax"])]
    assert sorted((anna.repos / "resnet50-store").rglob("*")) == before


def test_the_hosts_store_cannot_be_written(anna: CM, checkout: Path) -> None:
    command = (
        'cm docker script "get ml-model resnet50 _dummy-weights" --quiet '
        '--docker_pre_run_cmds,="touch /mnt/resnet50/new"'
    )
    said = page.fails(anna, checkout, command)
    assert "Read-only file system" in said
    assert list((anna.repos / "resnet50-store").iterdir()) == []


def test_without_a_network_what_nobody_has_is_an_error_that_names_it(
    anna: CM, origin: Origin, checkout: Path, models: Path
) -> None:
    command = 'cm docker script "get ml-model resnet50 _pytorch _int8" --quiet --to=models'
    env = {"CM_RESNET50_DOCKER_NETWORK": "none", "CM_RESNET50_RETRY_BUDGET": "0.1"}
    said = page.fails(anna.also(origin=origin), checkout, command, env)
    assert "resnet50_INT8bit_quantized.pt" in said
    assert list(models.iterdir()) == []
    assert origin.requests == []


def test_a_mirror_and_a_proxy_are_the_containers_too(
    anna: CM, empty_origin: Origin, checkout: Path, models: Path, served: dict[str, Path]
) -> None:
    file = served["tensorflow"]
    empty_origin.serve(f"http://mirror.example.com/resnet50/{file.name}", file)
    page.run(anna.also(origin=empty_origin), checkout, "Proxies, mirrors and options")
    assert sha256(only(models)) == sha256(file)


def test_a_file_of_ones_own(
    anna: CM, checkout: Path, models: Path, served: dict[str, Path]
) -> None:
    given = checkout / "given" / "resnet50_v1.onnx"
    given.parent.mkdir()
    given.write_bytes(served["onnx-opset-11"].read_bytes())
    page.run(anna, checkout, "A file that you have already")
    assert sha256(only(models)) == sha256(given)


def test_another_base_and_folder(
    podman: Podman, anna: CM, checkout: Path, models: Path, installation: Installation
) -> None:
    said = page.run(anna, checkout, "Another base image or build folder")
    assert "build --network=host" in said
    assert "Docker image exists" not in said
    assert sha256(only(models)) in (installation.script / "_cm.json").read_text(encoding="utf-8")
    written = checkout / "container" / "dockerfiles" / "company-base:1.Dockerfile"
    lines = written.read_text(encoding="utf-8").splitlines()
    (pull,) = [line for line in lines if "cm pull repo mlcommons" in line]
    assert pull.endswith("--help")
    assert not [line for line in lines if line.startswith("RUN") and "git clone" in line]


def test_without_a_wheel_the_build_ends_and_asks_no_index_for_ours(
    anna: CM, indexed: tuple[str, Server], checkout: Path
) -> None:
    base, server = indexed
    (commands,) = page.blocks("Another base image or build folder")
    folder = "--docker_copy_files,=$PWD/dist:/wheels"
    assert folder in commands
    assert "company-base:1" in commands
    said = page.fails(anna, checkout, commands.replace(folder, "").replace("company-base:1", base))
    (line,) = [line for line in said.splitlines() if line.startswith("ResNet-50: ")]
    assert "no wheel" in line
    assert "--docker_copy_files" in line
    assert line.endswith("cmx-resnet50 docs containers")
    asked = {record.path.strip("/") for record in server.requests}
    assert "cmind" in asked
    assert not [path for path in asked if path.startswith("cmx")]


def test_files_are_of_the_user_whom_root_works_for(
    anna: CM, checkout: Path, models: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (commands,) = page.blocks("Podman")
    into_store = f"{commands.rstrip()} --env.CM_RESNET50_STORE={store}"
    for folder in (models, store):
        os.chown(folder, SOMEBODY.pw_uid, SOMEBODY.pw_gid)
    try:
        for asked in (commands, into_store):
            page.shell(anna, checkout, asked, {"SUDO_USER": SOMEBODY.pw_name})
            assert only(models).is_file()
        written = [*models.iterdir(), *store.rglob("*")]
        assert len(written) > 1
        owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in written}
        assert owners == {(SOMEBODY.pw_uid, SOMEBODY.pw_gid)}
    finally:
        os.chown(models, 0, 0)


def test_a_machine_without_a_network(
    podman: Podman, anna: CM, origin: Origin, checkout: Path, models: Path, tmp_path: Path,
    served: dict[str, Path],
) -> None:  # fmt: skip
    here, there = page.blocks("A machine without a network")
    page.shell(anna.also(origin=origin), checkout, here)
    podman("rmi", "--force", IMAGE)
    other = anna.also(home=tmp_path / "there", repos=tmp_path / "there-CM")
    said = page.shell(other, checkout, there, {"CM_RESNET50_STORE": str(tmp_path / "site's own")})
    assert "Docker image exists" in said
    assert sha256(only(models)) == sha256(served["onnx-opset-8"])


def test_what_is_left_goes(podman: Podman, anna: CM, checkout: Path) -> None:
    page.run(anna, checkout, "What remains on your machine")
    assert IMAGE not in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert "cmx-resnet50-0" not in podman("volume", "ls", "--quiet").split()
