"""Where the bytes may come from besides the public address: site mirrors, further URLs, tools."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import ClassVar

import pytest

from tests.faults.support import (
    IMPATIENT,
    assert_failed,
    assert_good,
    assert_next_run_is_good,
    objects,
    store_of,
    sweep,
)
from tests.harness.artifacts import ARTIFACTS, delivered
from tests.harness.cm import CM
from tests.harness.faults import Flip, Other, Status
from tests.harness.origin import Origin

# The library alone, whatever engine calls it: the full run has these cases under MLC, too.
pytestmark = pytest.mark.under_mlc()

ONE = "tflite-no-argmax"
URL = ARTIFACTS[ONE].url
REQUEST = ("tflite", "no-argmax")
TOOL = "cmx-resnet50"
CASES = {ONE: REQUEST, "tflite-argmax": ("tflite",), "pytorch-fp32": ("pytorch",)}


def digest(path: Path, kind: str) -> str:
    return hashlib.new(kind, path.read_bytes(), usedforsecurity=False).hexdigest()


def site_names(name: str, path: Path) -> list[str]:
    """All names that a site may give the file: by digests as far as they are known, and its own."""
    known = ["md5", "sha256"] if name == "pytorch-fp32" else ["md5"]
    return [*(f"{kind}/{digest(path, kind)}" for kind in known), ARTIFACTS[name].file]


SITES = [("tflite-argmax", 0), (ONE, 0), (ONE, 1), ("tflite-argmax", 1)]
SITES += [("pytorch-fp32", by) for by in range(3)]


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize(
    ("name", "by"), [pytest.param(*s, marks=[pytest.mark.full] if s[1] else []) for s in SITES]
)
def test_site_mirror(
    engine: CM, origin: Origin, served: dict[str, Path], name: str, scheme: str, by: int
) -> None:
    names = site_names(name, served[name])
    if scheme == "http":
        prefix = origin.at("/models/")
        origin.serve(prefix + names[by], served[name])
    else:
        folder = engine.home / "site"
        (folder / names[by]).parent.mkdir(parents=True)
        shutil.copyfile(served[name], folder / names[by])
        prefix = folder.as_uri()
    result = engine.get(*CASES[name], env={**IMPATIENT, "CM_RESNET50_MIRROR": prefix})
    assert_good(engine, result, served, name)
    assert not origin.connects
    if scheme == "file":
        assert not origin.requests


def test_site_mirror_for_a_pair(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    folder = engine.home / "site"
    folder.mkdir()
    for name in ("ncnn", "ncnn-param"):
        shutil.copyfile(served[name], folder / ARTIFACTS[name].file)
    result = engine.get(
        "ncnn", env={"CM_RESNET50_MIRROR": folder.as_uri(), "CM_RESNET50_OFFLINE": "1"}
    )
    assert_good(engine, result, served, "ncnn")
    assert not origin.requests and not origin.connects


def test_bad_site_mirrors_are_passed_by_and_named(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    folder = engine.home / "site"
    folder.mkdir()
    (folder / ARTIFACTS[ONE].file).write_bytes(b"not the model")
    site = origin.at("/models")
    origin.serve(f"{site}/{ARTIFACTS[ONE].file}", served[ONE], Flip(100))
    mirrors = f"{folder.as_uri()} {site}"
    result = engine.get(*REQUEST, env={**IMPATIENT, "CM_RESNET50_MIRROR": mirrors})
    assert_good(engine, result, served, ONE)
    assert folder.as_uri() in result.err and f"{site}/{ARTIFACTS[ONE].file}" in result.err
    assert origin.asked(URL)


def test_further_urls_are_asked_in_turn(
    engine: CM, origin: Origin, served: dict[str, Path]
) -> None:
    origin.fail(URL, Status(404))
    bad, good = "https://one.example.org/a.tflite", "https://two.example.org/b.tflite"
    origin.serve(bad, served[ONE], Other())
    origin.serve(good, served[ONE])
    options = {"env.CM_DOWNLOAD_URL1": bad, "env.CM_DOWNLOAD_URL4": good}
    result = engine.get(*REQUEST, env=IMPATIENT, **options)
    assert_good(engine, result, served, ONE)
    assert [record.url for record in origin.requests] == [URL, bad, good]
    assert bad in result.err
    assert_next_run_is_good(engine, origin, served, ONE)


def test_further_urls_all_fail(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    origin.fail(URL, Status(404))
    further = {f"env.CM_DOWNLOAD_URL{n}": f"https://{n}.example.org/a" for n in range(1, 5)}
    result = engine.get(*REQUEST, env=IMPATIENT, **further)
    assert_failed(engine, result, served, URL, *further.values(), "HTTP 404")
    assert_next_run_is_good(engine, origin, served, ONE)


@pytest.mark.parametrize("name", ["tflite-argmax", "pytorch-fp32"])
def test_each_object_has_a_record_of_where_it_came_from(
    engine: CM, origin: Origin, served: dict[str, Path], name: str
) -> None:
    artifact = ARTIFACTS[name]
    origin.fail(artifact.url, Status(404))
    used = [*artifact.urls, further := "https://two.example.org/b"][1]
    origin.serve(further, served[name])
    options = {"env.CM_DOWNLOAD_URL1": further}
    before = datetime.now(timezone.utc).replace(microsecond=0)
    assert_good(engine, engine.get(*CASES[name], env=IMPATIENT, **options), served, name)
    listed = {
        row["artifact"]: row for row in json.loads(engine.command(TOOL, "list", "--json").out)
    }
    version = engine.command(TOOL, "--version").out.split()[-1]
    for sha256, path in objects(store_of(engine)).items():
        record = json.loads(path.with_name("record.json").read_text(encoding="utf-8"))
        content = path.read_bytes()
        assert record["artifact"] == name
        assert record["url"] == used
        assert record["sha256"] == sha256
        assert record["md5"] == digest(path, "md5")
        assert record["bytes"] == len(content)
        assert record["plugin"] == version
        assert record["license"] == listed[name]["license"]
        assert before <= datetime.fromisoformat(record["date"]) <= datetime.now(timezone.utc)


def test_a_header_never_names_a_file(engine: CM, origin: Origin, served: dict[str, Path]) -> None:
    named = {"Content-Disposition": "attachment; filename=\"../../evil.sh\"; filename*=x''evil"}
    origin.serve(URL, served[ONE], headers=named)
    result = engine.get(*REQUEST, outdirname="out")
    assert_good(engine, result, served, ONE)
    assert [path.name for path in (engine.cwd / "out").iterdir()] == [ARTIFACTS[ONE].file]
    assert not list(engine.home.parent.rglob("*evil*"))


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")
class TestOtherTool:
    """``--adr.model-downloader.tags=_wget``: that tool fetches; we verify and adopt."""

    OPTIONS: ClassVar = {"adr.model-downloader.tags": "_wget"}

    @pytest.mark.under_mlc("tflite-argmax")
    @pytest.mark.parametrize("name", sweep({k: k for k in CASES}, "tflite-argmax"))
    def test_good(self, with_tools: CM, origin: Origin, served: dict[str, Path], name: str) -> None:
        result = with_tools.get(*CASES[name], **self.OPTIONS)
        assert_good(with_tools, result, served, name)
        agents = {record.headers.get("user-agent", "").lower() for record in origin.requests}
        assert agents and all("wget" in agent for agent in agents)
        # What the tool depends on is only left out for a file that is there.
        assert re.search("detect[ ,]os", result.err)
        origin.clear_log()
        again = with_tools.get(*CASES[name], **self.OPTIONS)
        assert_good(with_tools, again, served, name)
        assert not origin.requests

    @pytest.mark.under_mlc("mlc")
    def test_curl(self, with_tools: CM, origin: Origin, served: dict[str, Path]) -> None:
        """Both engines' download-and-extract lets wget fetch for ``_curl``."""
        result = with_tools.get(*REQUEST, **{"adr.model-downloader.tags": "_curl"})
        assert_good(with_tools, result, served, ONE)
        (record,) = origin.requests
        assert "wget" in record.headers["user-agent"].lower()

    @pytest.mark.under_mlc("mlc")
    def test_the_server_names_no_file(
        self, with_tools: CM, origin: Origin, served: dict[str, Path]
    ) -> None:
        """Of an archive, too, which is not delivered under its own name."""
        hostile = "attachment; filename=\"a';touch ran;'.gz\""
        url = ARTIFACTS["tflite-argmax"].url
        origin.serve(url, served["tflite-argmax"], headers={"Content-Disposition": hostile})
        result = with_tools.get("tflite", **self.OPTIONS)
        assert_good(with_tools, result, served, "tflite-argmax")
        assert not [path for path in with_tools.home.parent.rglob("ran*") if path.name == "ran"]

    @pytest.mark.under_mlc("mlc-semicolon-const", "mlc-and, no blank-env")
    @pytest.mark.parametrize("key", ["const.CM_PACKAGE_URL", "env.CM_DOWNLOAD_URL1"])
    @pytest.mark.parametrize(
        "ending",
        sweep(
            {
                "semicolon": ";touch ran",
                "no blank": ";>ran",
                "pipe": "|tee ran",
                "and": "&touch ran",
                "and, no blank": "&>ran",
                "redirection": "<(touch ran)",
                "quote": "';touch ran;'",
                "newline": "\ntouch ran",
            },
            "semicolon, and, no blank",
        ),
    )
    def test_a_url_runs_no_command(
        self, with_tools: CM, origin: Origin, served: dict[str, Path], key: str, ending: str
    ) -> None:
        origin.fail(URL, Status(404))
        result = with_tools.get(
            *REQUEST, **{key: f"https://h.example.org/a.tflite{ending}"}, **self.OPTIONS
        )
        assert_failed(
            with_tools, result, served, f"{with_tools.key(key).partition('.')[2]} contains"
        )
        assert not origin.requests
        assert not [path for path in with_tools.home.parent.rglob("ran*") if path.name == "ran"]

    @pytest.mark.parametrize("name", ["a b.tflite", "a;b", "a'b", "a|b"])
    def test_a_file_name_runs_no_command(
        self, with_tools: CM, served: dict[str, Path], name: str
    ) -> None:
        result = with_tools.get(*REQUEST, **{"env.CM_DOWNLOAD_FILENAME": name}, **self.OPTIONS)
        name = with_tools.key("CM_DOWNLOAD_FILENAME")
        assert_failed(with_tools, result, served, f"{name} contains")

    @pytest.mark.under_mlc("mlc")
    def test_wrong_bytes(self, with_tools: CM, origin: Origin, served: dict[str, Path]) -> None:
        origin.fail(URL, Other())
        result = with_tools.get(*REQUEST, **self.OPTIONS)
        assert result.code != 0
        assert not result.env
        assert not objects(store_of(with_tools))
        origin.heal()
        again = with_tools.get(*REQUEST)
        assert again.ok, again.text
        assert again.path.read_bytes() == delivered(served[ONE])
