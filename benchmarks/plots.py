"""Draws the results as SVG: ``plots.py RESULTS``, in an interpreter that has matplotlib.

RESULTS has a folder for each kind of machine; goals are drawn for all of them together.

The same results give the same bytes: no date, no random names.
"""

# mypy: ignore-errors
from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

plt.switch_backend("svg")
plt.rcParams.update(
    {
        "svg.hashsalt": "benchmarks",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
    }
)

_WIDEST = 3
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")


def grown(plot: dict, folder: Path) -> None:
    """Draw how a cost grows: medians as a line, ranges as a band."""
    figure, axes = plt.subplots(figsize=(5.6, 3.4))
    for curve, colour in zip(plot["curves"], _COLOURS, strict=False):
        axes.plot(curve["x"], curve["median"], marker="o", ms=4, color=colour, label=curve["name"])
        axes.fill_between(curve["x"], curve["low"], curve["high"], color=colour, alpha=0.2, lw=0)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    axes.set(xscale="log", yscale="log", xlabel=plot["x"], ylabel=plot["y"])
    axes.set_title(plot["title"], fontsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.minorticks_off()
    axes.set_xticks(plot["curves"][0]["x"])
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, folder / f"{plot['file']}.svg")


def goals(kinds: dict[str, dict[str, dict]], folder: Path) -> None:
    """Draw each figure with a goal as a share of that goal: left of 1 it is met."""
    rows: dict[str, dict[str, float]] = {}
    for kind, found in kinds.items():
        for name, result in found.items():
            for one in result.get("comparisons", ()):
                if one["goal"]:
                    label = f"{name}: {one['ours']} / {one['peer']}"
                    rows.setdefault(label, {})[kind] = one["found"] / one["goal"]
    if not rows:
        return
    height = 0.8 / len(kinds)
    figure, axes = plt.subplots(figsize=(7.2, 0.6 + (0.1 + 0.14 * len(kinds)) * len(rows)))
    for number, (kind, colour) in enumerate(zip(kinds, _COLOURS, strict=False)):
        places = [row + (number - (len(kinds) - 1) / 2) * height for row in range(len(rows))]
        values = [min(shares.get(kind, 0.0), _WIDEST) for shares in rows.values()]
        axes.barh(places, values, color=colour, height=height, label=kind)
    axes.axvline(1, color="black", lw=1)
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"found / goal: up to 1 the goal is met; cut at {_WIDEST}")
    axes.set_xlim(0, _WIDEST)
    axes.grid(axis="y", visible=False)
    axes.legend(fontsize=7, loc="lower right")
    _save(figure, folder / "goals.svg")


def _save(figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Draw all that is in the folder of results, in the order of the names."""
    root = Path(sys.argv[1])
    kinds: dict[str, dict[str, dict]] = {}
    for path in sorted(root.glob("*/*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        kinds.setdefault(path.parent.name, {})[path.stem] = result
        for plot in result.get("plots", ()):
            grown(plot, path.parent)
    goals(kinds, root)


if __name__ == "__main__":
    main()
