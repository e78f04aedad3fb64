"""What our command does where something goes wrong, beside what people use in its place.

Every cell of the table is what happened in a run: a local server answers for all hosts, behind a
proxy and under an authority of its own, and nothing of it is timed. Root, for a disk of its own.
"""

from __future__ import annotations

import os
import subprocess
from urllib.parse import urlsplit

from benchmarks.measure import BenchmarkError, Outcome, Setting
from benchmarks.peers import peer, python
from benchmarks.situations import SITUATIONS, Bench, Tool
from benchmarks.tools import ROOT
from cmx_resnet50 import dummy
from cmx_resnet50.digests import digest_file
from tests.harness import artifacts, build
from tests.harness.artifacts import ARTIFACTS
from tests.harness.authority import Authority
from tests.harness.cm import CM
from tests.harness.origin import Origin

ARTIFACT = ARTIFACTS["onnx-opset-11"]
FIRST, SECOND, *_, HUB = ARTIFACT.urls
REPOSITORY = "/".join(urlsplit(HUB).path.split("/")[1:3])
MLC = "https://github.com/mlcommons/mlperf-automations"


def compare(setting: Setting) -> Outcome:
    """Put each tool into each situation."""
    folder = setting.work / "compare"
    folder.mkdir()
    file = folder / ARTIFACT.file
    dummy.write("onnx-opset-11", file, seed=50)
    with Origin(Authority(folder)) as origin:
        bench = Bench(folder, origin, file, digest_file(file).md5)
        for url in ARTIFACT.urls:
            # What the Hub says of a file; to others it means nothing.
            origin.serve(url, file, headers={"X-Repo-Commit": "0" * 40})
        tools = _tools(setting, bench)
        cells = {
            situation: {tool.name: act(bench, tool) for tool in tools}
            for situation, act in SITUATIONS.items()
        }
    outcome = Outcome("In the same situations, one file, one server", {}, [], cells=cells)
    outcome.notes.append(_mlc())
    return outcome


def _tools(setting: Setting, bench: Bench) -> list[Tool]:
    served = {"onnx-opset-11": bench.file}
    installed = {}
    for name, package in (
        ("ours", build.build_wheel(ROOT, bench.folder / "wheel")),
        ("old", None),
    ):
        installed[name] = build.install(bench.folder / name, package)
        artifacts.patch(installed[name], served)
        index = bench.folder / f"index-{name}"
        done = CM(installed[name], bench.folder / "home", index, bench.origin).run(
            "reindex", "repo"
        )
        if not done.ok:
            raise BenchmarkError(done.text)
    ours, old = installed["ours"], installed["old"]
    peers = python(setting.peers, "downloaders")
    aria2c = peer("aria2c")
    name, bundle = ARTIFACT.file, bench.origin.authority.bundle
    fetch = (
        "import pooch, sys; "
        f"print(pooch.retrieve({FIRST!r}, known_hash='md5:{bench.md5}', fname={name!r}, "
        "path='models'))"
    )
    return [
        Tool(
            "cmx-resnet50 get",
            FIRST,
            lambda user: [ours.bin / "cmx-resnet50", "get", "_onnx", "--to", "models"],
            f"models/{name}",
            "CM/resnet50-store/objects/*/*/data",
            ours,
        ),
        Tool(
            "the old script",
            FIRST,
            lambda user: [old.bin / "cm", *user.cm.request("onnx", quiet=True)],
            f"CM/repos/local/cache/*/{name}",
            f"CM/repos/local/cache/*/{name}",
            old,
        ),
        Tool(
            "hf download",
            HUB,
            lambda user: [peers.with_name("hf"), "download", REPOSITORY, name],
            f".cache/huggingface/hub/*/snapshots/*/{name}",
            f".cache/huggingface/hub/*/snapshots/*/{name}",
            old,
        ),
        Tool(
            "pooch.retrieve",
            FIRST,
            lambda user: [peers, "-c", fetch],
            f"models/{name}",
            f"models/{name}",
            old,
        ),
        Tool(
            "aria2c",
            FIRST,
            lambda user: [
                *(aria2c, "--no-conf", "-c", "--allow-overwrite=true", "--summary-interval=0"),
                *(f"--checksum=md5={bench.md5}", "-d", "models", "-o", name, FIRST, SECOND),
            ],
            f"models/{name}",
            f"models/{name}",
            old,
            trust=f"--ca-certificate={bundle}",
        ),
    ]


def _mlc() -> str:
    """Return why the successor's script has no column, from an attempt to get it."""
    done = subprocess.run(
        [peer("git"), "ls-remote", "--exit-code", MLC, "HEAD"],
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return f"MLC's script was not run: this benchmark does not install {MLC}."
    reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
    return f"MLC's script was not run: it is in {MLC} only, and here git says: {reason}."
