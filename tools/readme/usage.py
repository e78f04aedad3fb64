"""README.md for whoever runs the script: first commands, summary, ways in, upgrade, people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmx_resnet50.engines.cm import CM
from tools.readme.markdown import CHOOSING, NOTES, PAGES, REFERENCE, bullets, code, table

_TAGS = CM.run.partition("--tags=")[2]

PICTURE = """
## How it works

```mermaid
flowchart LR
    request["request<br>tags of variations"] --> catalog
    catalog -->|no such file| refusal["refusal<br>with the nearest requests"]
    catalog -->|one artifact| store["store<br>objects by digest"]
    mirrors["mirrors<br>in order"] --> fetch["fetch<br>and compare"] --> store
    store --> reshape["rewrite<br>if a batch is requested"]
    reshape --> place["place<br>cache entry, output folder"]
    place --> inspect["fact check<br>what the file contains"] --> keys["CM_ML_MODEL_* keys"]
    hit["cache hit"] --> ensure["ensure<br>valid? in place?"]
    ensure -->|check, repair| store
```
"""

INSTALL = """
## Install, upgrade, uninstall

### Install

```bash
pip install .
cm reindex repo
```

The second line is needed only if CM was used before. CM and its scripts (`cmind`, `cmx4mlops`) are
installed as dependencies.

To install into an environment of its own, with the command `cm`: `pipx install --include-deps .` or
`uv tool install --with-executables-from cmind .`. A wheel (`make dist`) installs in the same ways.

### Upgrade

```bash
git pull
pip install --upgrade .
cmx-resnet50 doctor
```

The store and CM's cache entries stay; the next run checks them as always. `doctor` reports
problems, such as an outdated index of CM.

### Uninstall

```bash
cm rm cache --tags=ml-model,resnet50 -f
pip uninstall --yes cmx-resnet50
rm -rf "${CM_REPOS:-$HOME/CM}/resnet50-store"
```

Remove the cache entries first: once this package is gone, the old script in `cmx4mlops` answers
again. It would use our entries without a check, and a plain request could get the ncnn file.

The last line removes the store with the fetched files; leave it out to keep them. If only MLC was
used, or `CM_RESNET50_STORE` is set, the store is in
[another folder](README-extra.md#where-files-are). Under MLC, run `cmx-resnet50 mlc remove` before
the second line.

### Try a clone

```bash
make run
make test
```

`make run` requests `_dummy-weights`, so it downloads no model. For a published file:
`make run VARIATIONS=_onnx,_opset-8`. If `CM_REPOS` is set, it runs there, and CM's index names this
clone until the next `cm reindex repo`.
"""

FIGURES = """
## How fast

Each figure is measured against a named peer in the same run, on one machine with two cores. A bar
beyond the line is a missed goal.

![Each figure as a share of its goal](benchmarks/results/goals.svg)

[benchmarks/README.md](benchmarks/README.md) describes the method, and the reason for each missed
goal; [the results](benchmarks/results/README.md) list all values. Both are in a checkout only.
"""

REFERENCE_START = """
# Reference

What can be requested and set, and which keys are exported. For the first commands, see the
[README](../README.md).

- [Which file a request means](#which-file-a-request-means)
- [Reuse](#reuse-this-script): [install](#install), [pull](#pull), [help](#help),
  [command line](#command-line), [Python](#python), [GUI](#gui), [Docker](#docker)
- [Variations](#variations), with their groups and [defaults](#default-variations)
- [Default env](#default-env), [input flags](#input-flags), [options](#options)
- [Dependencies](#dependencies)
- [Script output](#script-output)
"""


def start(meta: Mapping[str, Any]) -> str:
    """Return the first screen: what this is, and the first command of each way in."""
    return f"""
# {meta["alias"]}

The ResNet-50 model files of MLPerf: pick a file by tags, get exactly that file, verified. Under
[CM](https://github.com/mlcommons/ck), under its successor [MLC](docs/mlc.md), from Python, or from
the command line.

Install it with Python 3.10 or newer, in a clone of this project, and run it under CM:

```bash
pip install .
{CM.run}
```

From Python (it needs a network; with `dummy=True` none, for random weights):

```python
from cmx_resnet50 import get

model = get("onnx")
print(model.path, model.sha256)
```

From a shell, without an engine:

```bash
cmx-resnet50 get _onnx --to models
```

- For a first try without a network, with random weights in the same graph:
  `{CM.run},_onnx,_dummy-weights --to=models`
- Under MLC: `pip install '.[mlc]'`, once `cmx-resnet50 mlc add`, then `mlcr {_TAGS}`.
- If CM was used before, rebuild its index once: `cm reindex repo`.

Where to go on: [which file do I need?]({CHOOSING}) ·
[all variations, flags, options and keys]({REFERENCE}) · [Python](docs/python.md) ·
[preprocessing](docs/preprocessing.md) · [company networks](docs/networks.md) ·
[machines without internet](docs/airgapped.md) · [all pages]({PAGES}) ·
[troubleshooting, and differences from the old script]({NOTES})
"""


def summary(meta: Mapping[str, Any]) -> str:
    """Return what the script is, in a few facts."""
    cached = "yes; a later run finds the entry and checks its content" if meta["cache"] else "no"
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
fetched once into a store and compared with its published digest. Then it is placed in the engine's
cache and in the folder that you name, and its facts are exported as `CM_ML_MODEL_*` keys.

{table(("", ""), rows)}
"""


def reuse(meta: Mapping[str, Any]) -> str:
    """Return every way in: install, pull, help, command line, Python, GUI, Docker."""
    words = _TAGS.replace(",", " ")
    path = next(iter(meta["print_env_at_the_end"]))
    return f"""
## Reuse this script

### Install

`pip install .` in a clone. The [README](../README.md#install) also describes upgrade and uninstall.

### Pull

No `cm pull` needed: CM finds the installed package by itself, before the copy of this script in
`cmx4mlops`. For development: `pip install -e .`

`cm pull repo --url=URL` of a git repository of this project installs the package with pip; run
`cm reindex repo` afterwards. [MLC](mlc.md#from-a-git-clone) can use a clone, too.

### Help

```bash
{CM.run} --help
cmx-resnet50 --help
```

CM ends the first command with a question; press Enter.

### Command line

```bash
{CM.run}
cmr "{words} _pytorch"
{CM.run},_onnx,_opset-8 --outdirname=opset-8
```

The same without CM:

```bash
cmx-resnet50 list
cmx-resnet50 get _onnx,_opset-8 --to opset-8
```

### Python

`from cmx_resnet50 import get`; [From Python](python.md) describes functions, fields and errors.
Through CM:

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

See [A page in the browser](gui.md).

### Docker

Build a wheel in a clone, so that the image gets the same package:

```bash
pip wheel --no-deps --wheel-dir dist .
```

Then:

```bash
mkdir -p models
cm docker script "{words} _dummy-weights" --quiet --to=models \\
  --docker_copy_files,=$PWD/dist:/wheels
```

For details, and for use without CM, see [In a container](containers.md).
"""


def people(meta: Mapping[str, Any]) -> str:
    """Return who maintains the script, and where the other pages are."""
    return f"""
## Maintainers

{bullets(meta["maintainers"])}

## Notes

[{NOTES}]({NOTES}): how this script differs from the old one, how to add a file, what is trusted,
where files are, troubleshooting. [All pages]({PAGES}) are in the package too:
`cmx-resnet50 docs NAME` prints one.
"""
