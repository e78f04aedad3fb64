"""``python -m benchmarks [--quick] [name…]``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import breaks, engine, fetching, files, machine, report
from benchmarks.measure import BenchmarkError, Setting
from benchmarks.tools import ROOT

BENCHMARKS = {
    "unlimited": fetching.unlimited,
    "paced": fetching.paced,
    "lossy": fetching.lossy,
    "cuts": breaks.cuts,
    "killed": breaks.killed,
    "memory": breaks.memory,
    "together": engine.together,
    "hit": engine.hit,
    "cold": engine.cold,
    "inspect": files.inspect,
    "reshape": files.reshape,
}


def main() -> int:
    """Run what is asked for; return 1 if any could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="3 rounds in place of 5, no 4 GiB")
    parser.add_argument(
        "--tensorflow-python",
        default=sys.executable,
        metavar="PATH",
        help="an interpreter that has TensorFlow, for `reshape`; by default this one",
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR"
    )
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    asked.results.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        setting = Setting(
            Path(folder), 3 if asked.quick else 5, asked.quick, asked.tensorflow_python
        )
        for name in asked.names or BENCHMARKS:
            print(f"{name} …", file=sys.stderr, flush=True)
            result = _measured(name, setting)
            if "error" in result:
                failed.append(name)
                print(f"{name} FAILED: {result['error']}", file=sys.stderr, flush=True)
            path = asked.results / f"{name}.json"
            path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(report.write(asked.results, list(BENCHMARKS)))
    if failed:
        print(f"not measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measured(name: str, setting: Setting) -> dict[str, Any]:
    circumstances = machine.describe(ROOT)
    noise = machine.Noise.begin()
    try:
        result = BENCHMARKS[name](setting).as_json()
    except (BenchmarkError, OSError, RuntimeError, LookupError) as error:
        result = {"error": str(error) or repr(error)}
    return {
        **result,
        "quick": setting.quick,
        "machine": circumstances,
        "noise": noise.end(),
    }


if __name__ == "__main__":
    sys.exit(main())
