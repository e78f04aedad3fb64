"""The ``docker`` section of _cm.json and docs/containers.md agree with what they speak of.

Cheap, and without a container: part of every test run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from cmx_resnet50.options import PREFIX, Options
from tests.container import page
from tests.docs import pages

META = json.loads((pages.ROOT / "_cm.json").read_text(encoding="utf-8"))
DOCKER = META["docker"]


def test_the_image_is_named_after_the_release_that_is_in_it() -> None:
    changes = (pages.ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    release, *_ = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changes, re.MULTILINE)
    assert DOCKER["image_name"] == f"cmx-resnet50-{release}"
    # The engine exports it to shells of the host, too, which would carry these out.
    assert not {"$", "`"} & set(DOCKER["cm_repos"])
    assert f"localhost/local/cmx-resnet50-{release}:ubuntu-22.04-latest" in page.text()


def test_what_is_installed_is_a_wheel_that_the_user_gave(tmp_path: Path) -> None:
    """Without one the build ends in its first line: nothing of our name is in an index."""
    pip = tmp_path / "pip"
    pip.write_text(f"#!/bin/sh\ntouch {tmp_path}/installed\n")
    pip.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    lines = DOCKER["cm_repos"].split(",")
    done = subprocess.run(
        ["sh", "-c", "\n".join(["set -e", *(f"({line})" for line in lines)])],
        env={"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"ResNet-50: .*no wheel.*--docker_copy_files.*\n", done.stderr)
    assert not (tmp_path / "installed").exists()


def test_every_option_of_the_host_holds_in_the_container() -> None:
    passed = set(re.findall(rf"--env={PREFIX}([A-Z_]+)(?= |$)", DOCKER["extra_run_args"]))
    options = {field.name.upper() for field in dataclasses.fields(Options)}
    assert passed == options - {"STORE"}


def test_every_input_that_is_a_path_is_mounted() -> None:
    inputs = META["input_mapping"]
    switches = {
        inputs[name] for name, shown in META["input_description"].items() if "choices" in shown
    }
    paths = {name for name, key in inputs.items() if key not in switches}
    assert paths == set(DOCKER["input_paths"])


def test_the_engine_has_each_limit_at_the_line_that_is_named() -> None:
    installed = metadata.version("cmx4mlops")
    (named,) = re.findall(r"Line numbers are those of\s`cmx4mlops` ([\d.]+)\.", page.text())
    if installed != named:
        pytest.skip(f"the page is about cmx4mlops {named}; {installed} is installed")
    rows = pages.rows(pages.section(page.text(), "Limits of CM's engine"))
    assert len(rows) > 10
    (package,) = metadata.distribution("cmx4mlops").locate_file("").glob("cmx4mlops")  # type: ignore[attr-defined]
    for row in rows:
        found = re.fullmatch(r"`([\w./-]+):(\d+)`: `(.+)`", row[1])
        assert found, row
        lines = Path(package, "repo", found[1]).read_text(encoding="utf-8").splitlines()
        assert found[3] in lines[int(found[2]) - 1], row


def test_links_of_the_page_lead_somewhere() -> None:
    for target in pages.links(page.text()):
        name, _, anchor = target.partition("#")
        assert not name or (page.PAGE.parent / name).is_file(), target
        assert not anchor or name or anchor in pages.anchors(page.text()), target


def test_every_block_of_the_page_is_run() -> None:
    """Each section that holds a block is named in a test that runs it."""
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    title = ""
    for line in page.text().splitlines():
        title = line.lstrip("# ") if line.startswith("#") else title
        if line == "```bash":
            assert f'"{title}"' in tests, title
