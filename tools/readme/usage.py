"""The README's sections for whoever runs the script: first commands, summary, ways in, people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmx_resnet50.engines.cm import CM
from tools.readme.markdown import CHOOSING, NOTES, PAGES, bullets, code, table

_TAGS = CM.run.partition("--tags=")[2]

PICTURE = """
## How it works

```mermaid
flowchart LR
    request["request<br>tags of variations"] --> catalog
    catalog -->|no such file| refusal["refusal<br>with the nearest requests"]
    catalog -->|one artifact| store["store<br>objects by digest"]
    mirrors["mirrors<br>in order"] --> fetch["fetch<br>and compare"] --> store
    store --> reshape["rewrite<br>where a batch is asked for"]
    reshape --> place["place<br>cache entry, output folder"]
    place --> inspect["fact check<br>what the file says"] --> keys["CM_ML_MODEL_* keys"]
    hit["cache hit"] --> ensure["ensure<br>valid? in place?"]
    ensure -->|check, repair| store
```
"""

FIGURES = """
## How fast

Measured against named peers, each in the same run as ours, on one machine with two cores. Beyond
the line, a goal was missed.

![Each figure as a share of its goal](benchmarks/results/goals.svg)

[benchmarks/README.md](benchmarks/README.md) says how, and what limits us where a goal is missed;
all values are in [its results](benchmarks/results/README.md). They are in a checkout only.
"""


def start(meta: Mapping[str, Any]) -> str:
    """Return the first screen: what this is, and the first command of each way in."""
    return f"""
# {meta["alias"]}

The ResNet-50 model files of MLPerf: pick a file by tags, get exactly that file, verified. Under
[CM](https://github.com/mlcommons/ck), under its successor [MLC](docs/mlc.md), from Python, or from
the command line.

Install it with Python 3.10 or newer, and run it under CM:

```bash
pip install .
{CM.run}
```

From Python:

```python
from cmx_resnet50 import get

model = get("onnx")
print(model.path, model.sha256)
```

From a shell, without an engine:

```bash
cmx-resnet50 get _onnx --to models
```

Under MLC: `pip install '.[mlc]'`, once `cmx-resnet50 mlc add`, then `mlcr {_TAGS}`.
Where CM was used before, rebuild its index once: `cm reindex repo`.

Where to go on: [which file do I need?]({CHOOSING}) · [Python](docs/python.md) ·
[company networks](docs/networks.md) · [machines without internet](docs/airgapped.md) ·
[all pages]({PAGES}) ·
[how it differs from the script that it replaces, and troubleshooting]({NOTES})

To try and test a clone, with make:

```bash
make run
make test
```

`make run` fetches nothing: it asks for `_dummy-weights`, the same network with random weights. For
a published file: `make run VARIATIONS=_onnx,_opset-8`.
"""


def summary(meta: Mapping[str, Any]) -> str:
    """Return what the script is, in a few facts."""
    cached = "yes; a later run finds the entry and checks what is in it" if meta["cache"] else "no"
    rows = (
        ("Category", meta["category"]),
        ("Licence", f"{meta['license']} for the script; the model files are their publishers'"),
        ("Tags", code(",".join(meta["tags"]))),
        ("UID", code(meta["uid"])),
        ("Cached?", cached),
    )
    return f"""
## Summary

A request (tags) means exactly one known file, or is refused before any network use. The file is
fetched once into a store, compared with its published digest, placed in the engine's cache and in
the folder that you name, and described by `CM_ML_MODEL_*` keys that say what the file is.

{table(("", ""), rows)}
"""


def reuse(meta: Mapping[str, Any]) -> str:
    """Return every way in: install, pull, help, command line, Python, GUI, Docker."""
    words = _TAGS.replace(",", " ")
    path = next(iter(meta["print_env_at_the_end"]))
    return f"""
## Reuse this script

### Install

```bash
pip install .
cm reindex repo
```

The second line is needed only where CM has an index already. CM and its scripts (`cmind`,
`cmx4mlops`) are installed as dependencies.

### Pull

No `cm pull` needed: CM finds the installed package by itself, before the copy of this script in
`cmx4mlops`. For development: `pip install -e .`

### Help

```bash
{CM.run} --help
cmx-resnet50 --help
```

The first ends with a question of CM's; press Enter.

### Command line

```bash
{CM.run}
cmr "{words} _pytorch"
{CM.run},_onnx,_opset-8 --outdirname=models
```

The same without CM:

```bash
cmx-resnet50 list
cmx-resnet50 get _onnx,_opset-8 --to models
```

### Python

`from cmx_resnet50 import get` is shown above; functions, fields and errors are in
[docs/python.md](docs/python.md). Through CM:

```python
import cmind

result = cmind.access(
    {{"action": "run", "automation": "script", "tags": "{_TAGS},_onnx", "quiet": True}}
)
if result["return"] > 0:
    raise SystemExit(result["error"])
print(result["new_env"]["{path}"])
```

### GUI

```bash
cmr "cm gui" --script="{_TAGS}"
```

[docs/gui.md](docs/gui.md) goes through the page.

### Docker

From a clone, so that the image gets the same package:

```bash
pip wheel --no-deps --wheel-dir dist .
```

Then:

```bash
mkdir -p models
cm docker script "{words} _dummy-weights" --quiet --to=models \\
  --docker_copy_files,=$PWD/dist:/wheels
```

[docs/containers.md](docs/containers.md) has the details, also for people without CM.
"""


def people(meta: Mapping[str, Any]) -> str:
    """Return who maintains the script, and where more is written."""
    return f"""
## Maintainers

{bullets(meta["maintainers"])}

## Notes

[{NOTES}]({NOTES}): how this script differs from the one it replaces, how to add a file,
what is trusted, where files are, troubleshooting. [{PAGES}]({PAGES}) links to all pages. They are
in the package too: `cmx-resnet50 docs start`.
"""
