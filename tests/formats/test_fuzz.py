"""`tests.formats.fuzz`: a few mutated files of each format, and what it finds in broken readers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.formats.fuzz import CORPORA, mutated

pytestmark = [
    pytest.mark.unmeasured,
    pytest.mark.skipif(sys.platform != "linux", reason="bounds of Linux"),
]

BROKEN = """
import sys
from pathlib import Path
from tests.formats import fuzz

def read(path, real=fuzz.read_facts, calls=[]):
    calls.append(path)
    if len(calls) > {valid}:
        {breach}
    return real(path)

fuzz.read_facts = read
sys.exit(fuzz.work("ncnn", 5, 3, 60, Path(sys.argv[1])))
"""
BREACHES = {
    "another exception": ("raise KeyError('x')", "KeyError: 'x'"),
    "an endless loop": ("while True: pass", "TooSlow: more than 1.0 s of CPU"),
    "much memory": ("bytearray(120 << 20)", "MemoryError"),
    "text that moves the cursor": (
        "raise fuzz.FormatError('\\x1b[2J')",
        "seed 5: an error that cannot be printed",
    ),
}


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("name", CORPORA)
def test_a_few_files(name: str) -> None:
    done = run("-m", "tests.formats.fuzz", name, "--seed", "2026", "--cases", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{name}: seeds 2026 to 2085: ")


@pytest.mark.parametrize("kind", BREACHES)
def test_what_a_reader_may_not_do_is_found(kind: str, tmp_path: Path) -> None:
    breach, found = BREACHES[kind]
    valid = len(CORPORA["ncnn"]())
    done = run("-c", BROKEN.format(valid=valid, breach=breach), str(tmp_path))
    assert done.returncode
    assert found in done.stderr
    assert (tmp_path / "seed").read_text() == "5"


def test_a_seed_makes_the_same_file_again() -> None:
    corpus = CORPORA["ncnn"]()
    assert mutated(corpus, 3) == mutated(corpus, 3) != mutated(corpus, 4)
