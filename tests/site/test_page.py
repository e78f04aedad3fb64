"""docs/clusters.md: every command in it is run, with the names and paths that it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmx_resnet50.catalog.table import Catalog
from tests.docs import pages
from tests.harness import models
from tests.harness.artifacts import ARTIFACTS
from tests.harness.cm import CM
from tests.harness.origin import Origin
from tests.site.network import Host, Network, environment
from tests.site.proxy import RECIPE, Proxy

PAGE = pages.ROOT / "docs" / "clusters.md"
TEXT = PAGE.read_text(encoding="utf-8")
META = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))

site = pytest.mark.site


def commands(title: str) -> list[str]:
    found = pages.blocks(pages.section(TEXT, title), "bash")
    assert found, title
    return found


def carry_out(host: Host, cm: CM, blocks: list[str], cwd: Path) -> str:
    """Run blocks in one shell, as a reader would, and return what they said."""
    env = environment(cm, PATH=f"{cm.environment()['PATH']}:/usr/sbin")
    done = host.run("\n".join(blocks), env=env, cwd=cwd, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def small_network(
    tmp_path: Path, empty_origin: Origin, served: dict[str, Path]
) -> Iterator[Network]:
    """Return a network with the small files, which `new_cm`'s installation expects."""
    models.publish(empty_origin, served)
    with Network(tmp_path, empty_origin) as running:
        yield running


@site
def test_the_caching_proxy(
    small_network: Network,
    new_cm: Callable[..., CM],
    empty_origin: Origin,
    served: dict[str, Path],
    open_folder: Path,
) -> None:
    Proxy.lay_out(open_folder / "docs" / "recipes" / "nginx", served)
    cm = new_cm("user")
    # nginx ends in its own time; the machine must not end before it.
    blocks = [
        *commands("A caching proxy"),
        "while [ -e resnet50-proxy/nginx.pid ]; do sleep 0.1; done",
    ]
    said = carry_out(small_network.host("cache"), cm, blocks, open_folder)
    assert (open_folder / "models" / "resnet50-19c8e357.pth").is_file()
    assert " MISS " in said
    # Two files, each once, and nothing of them from elsewhere.
    wanted = {name: served[name].stat().st_size for name in ("onnx-opset-8", "pytorch-fp32")}
    assert empty_origin.bytes_sent() == sum(wanted.values())
    log = (open_folder / "resnet50-proxy" / "access.log").read_text()
    assert log.count(" 206 ") + log.count(" 200 ") >= len(wanted)
    cache = open_folder / "resnet50-proxy" / "cache"
    assert not [path for path in cache.rglob("*") if path.is_file()]


@site
def test_one_store_for_all(
    small_network: Network, new_cm: Callable[..., CM], tmp_path: Path, empty_origin: Origin
) -> None:
    (tmp_path / "export").mkdir()
    for name in ("north", "south"):
        cm = new_cm(name)
        host = small_network.host(name, tmp_path / "export")
        said = carry_out(host, cm, commands("One store for all"), cm.cwd)
        assert "/mnt/models/store/" in said
        if name == "north":
            empty_origin.clear_log()
    assert not empty_origin.requests


@site
def test_one_writes_all_read(
    small_network: Network, new_cm: Callable[..., CM], tmp_path: Path, empty_origin: Origin
) -> None:
    export = tmp_path / "export"
    export.mkdir()
    writing, reading = commands("One writes, all read")
    writer, reader = new_cm("writer"), new_cm("reader")
    carry_out(small_network.host("writer", export), writer, [writing], writer.cwd)
    empty_origin.clear_log()
    host = small_network.host("reader", export, read_only=True)
    carry_out(host, reader, [reading], reader.cwd)
    assert (reader.cwd / "models" / "resnet50-19c8e357.pth").is_file()
    assert not empty_origin.requests


@site
def test_a_mirror_on_a_shared_folder(
    small_network: Network, new_cm: Callable[..., CM], tmp_path: Path, empty_origin: Origin
) -> None:
    export = tmp_path / "export"
    export.mkdir()
    writing, reading = commands("A mirror on a shared folder")
    writer, reader = new_cm("writer"), new_cm("reader")
    carry_out(small_network.host("writer", export), writer, [writing], writer.cwd)
    empty_origin.clear_log()
    host = small_network.host("reader", export, read_only=True)
    carry_out(host, reader, [reading], reader.cwd)
    assert not empty_origin.requests


def test_the_table_of_origins_is_that_of_the_catalog() -> None:
    """Each file that HTTP gives, by the name that a machine asks a mirror for, is in it."""
    text = (RECIPE / "origins.conf").read_text(encoding="utf-8")
    table = dict(re.findall(r"^/(\S+) (https://\S+);$", text, re.MULTILINE))
    known = {}
    for artifact in Catalog(META).artifacts.values():
        if artifact.downloader is None:
            names = artifact.archive or {"md5": artifact.md5, "sha256": artifact.sha256}
            kind = "sha256" if names.get("sha256") else "md5"
            known[f"{kind}/{names[kind]}"] = artifact.url
    assert table == known
    assert set(table.values()) < {artifact.url for artifact in ARTIFACTS.values()}


def test_links_lead_somewhere() -> None:
    for target in pages.links(TEXT):
        name, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        linked = PAGE.parent / name if name else PAGE
        assert linked.is_file(), target
        if anchor:
            assert anchor in pages.anchors(linked.read_text(encoding="utf-8")), target
