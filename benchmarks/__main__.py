"""``python -m benchmarks [--quick] [name…]``."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine, peers, report
from benchmarks.measure import BenchmarkError, Outcome, Setting
from benchmarks.tools import ROOT, compile_all

BENCHMARKS = {
    "unlimited": "fetching",
    "downloaders": "downloaders",
    "paced": "fetching",
    "lossy": "fetching",
    "cuts": "breaks",
    "killed": "breaks",
    "sizes": "growth",
    "together": "engine",
    "hit": "engine",
    "cold": "engine",
    "gigabit": "engine",
    "distant": "engine",
    "mlc": "mlc",
    "mlc-cold": "mlc",
    "imports": "engine",
    "stores": "growth",
    "inspect": "files",
    "reshape": "files",
    "site": "site",
    "races": "races",
    "compare": "compare",
}
"""Each is a function of that name, with "_" for "-", in the module given, and takes a Setting."""

APART = ("mlc-cold", "site", "races", "compare")
"""Only run by name: they take long, or need a clone."""

RESULTS = ROOT / "benchmarks" / "results"


def main() -> int:
    """Run what is asked for; return 1 if any could not be measured."""
    asked = _asked()
    folder = asked.results / machine.kind()
    folder.mkdir(parents=True, exist_ok=True)
    names = asked.names or [name for name in BENCHMARKS if name not in APART]
    failed = []
    compile_all()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        setting = Setting(Path(work), 1 if asked.quick else 5, asked.quick, asked.peers.resolve())
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            result = _measured(name, setting)
            if "error" in result:
                failed.append(name)
                print(f"{name} FAILED: {result['error']}", file=sys.stderr, flush=True)
            path = folder / f"{name}.json"
            path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(report.write(asked.results, list(BENCHMARKS)))
    if asked.results == RESULTS and {"mlc", "mlc-cold"} & {*names}:
        report.write_section(ROOT / "docs" / "mlc.md", RESULTS, ("mlc", "mlc-cold"))
    try:
        _draw(asked.results, asked.peers.resolve())
    except BenchmarkError as error:
        if not asked.names:
            failed.append("plots")
        print(f"no plots: {error}", file=sys.stderr)
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(BENCHMARKS)}; all but {' and '.join(APART)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="1 round in place of 5 (3 of the short ones), nothing that is large",
    )
    parser.add_argument(
        "--peers",
        type=Path,
        default=ROOT / ".venv" / "bench",
        metavar="DIR",
        help="where `python -m benchmarks.peers DIR` has installed the peers",
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    return asked


def _measured(name: str, setting: Setting) -> dict[str, Any]:
    circumstances = machine.describe(ROOT)
    noise = machine.Noise.begin()
    try:
        module = importlib.import_module(f"benchmarks.{BENCHMARKS[name]}")
        measure: Callable[[Setting], Outcome] = getattr(module, name.replace("-", "_"))
        result = measure(setting).as_json()
    except ImportError as error:
        result = {"error": f"{error}. It takes the packages of: pip install --group test ."}
    except (BenchmarkError, OSError, RuntimeError, LookupError) as error:
        result = {"error": str(error) or repr(error)}
    return {
        **result,
        "quick": setting.quick,
        "machine": circumstances,
        "noise": noise.end(),
    }


def _draw(results: Path, folder: Path) -> None:
    command = [peers.python(folder, "plots"), Path(__file__).with_name("plots.py"), results]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(done.stderr[-800:])


if __name__ == "__main__":
    sys.exit(main())
