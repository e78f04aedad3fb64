"""``docs/choose.md``: which file to take when. Facts come from the catalog, the words are here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cmx_resnet50.catalog.table import Artifact, Catalog, Request, RequestError
from cmx_resnet50.catalog.variations import compose
from cmx_resnet50.engines.cm import CM
from tools.readme.files import requests_of
from tools.readme.markdown import GENERATED, UNKNOWN, bullets, code, table, tag

USES = {
    "onnx-opset-11": "ONNX Runtime, and most tools that read ONNX",
    "onnx-opset-8": "tools that cannot read opset 11",
    "onnx-from-tf": "callers that feed NHWC to ONNX",
    "tensorflow": "TensorFlow: a frozen graph",
    "pytorch-fp32": "PyTorch: a state_dict; from 2.6 on [convert it](callers.md) first",
    "pytorch-int8": "PyTorch on x86: quantized, a TorchScript with its code",
    "ncnn": "ncnn: weights, and their graph next to them",
    "tflite-argmax": "TensorFlow Lite, for programs that read the class",
    "tflite-no-argmax": "TensorFlow Lite, for programs that read the scores only",
    "tflite-edgetpu": "Edge TPU: quantized",
}
"""What each artifact is used for, by its name."""

_BATCHES = {
    "rewritable": "A requested batch size is written into the file; otherwise it takes any",
    "any": "The file takes any batch size, and contains none that could be fixed",
    "native": "The file keeps the batch size that it has; a warning says so",
}

_STEPS = {
    "channel_order": "{} channels",
    "resize_short_side": "short side to {} pixels",
    "center_crop": "{0} x {0} from the centre",
    "divide": "divide by {}",
    "subtract": "subtract {}",
    "mean": "subtract {}",
    "std": "divide by {}",
    "then": "{}",
    "label_offset": "label = class {:+d}",
}
"""Words for the fields of ``preprocessing``, in the order of the declaration."""


def render(meta: Mapping[str, Any]) -> str:
    """Return the page that belongs to `meta`, the content of a ``_cm.json``."""
    catalog = Catalog(meta)
    requests = requests_of(catalog)
    plain = {url: text.partition(" ")[0] for url, text in requests.items()}
    models = [catalog.artifacts[url] for url in catalog.artifacts if url in requests]
    preprocessing = _grouped(models, lambda model: _steps(model.preprocessing))
    letters = {text: chr(ord("A") + index) for index, text in enumerate(preprocessing)}
    rows = (
        (
            requests[model.url],
            USES.get(model.name, ""),
            _fact(model.top1),
            _fact(model.classes),
            letters[_steps(model.preprocessing)],
        )
        for model in models
    )
    batches = _grouped(models, lambda model: _BATCHES[model.batch or "native"])
    dummies = bullets(plain[model.url] for model in models if model.dummy)
    head = ("request", "use it for", "top-1 %", "classes", "preprocessing")
    return f"""\
# Choose a file

There are {len(models)} files. Use the one that your framework reads; if in doubt, the default. The
[reference](reference.md#which-file-a-request-means) lists name, size, layout, opset, inputs,
outputs and digest of each.

{table(head, rows)}

*{UNKNOWN.capitalize()}*: no public source states it. Top-1 is as published, on the validation set
of ImageNet 2012; it was not measured here. The letters are explained under
[preprocessing](#preprocessing).

List the files, and get one:

```bash
cmx-resnet50 list
cmx-resnet50 get _tensorflow --to models
cmx-resnet50 inspect models/resnet50_v1.pb
```

## How a request is read

Append variations to the tags, at most one of each group:
`{CM.run},_pytorch,_int8`. Omitted groups take their
default. The command `cmx-resnet50` accepts the same words, in any case, with or
without underscores, and with CM's tags before them.

- A request for which no file exists is refused before anything is fetched, and the error names the
  nearest valid ones.
- A variation that has no effect, such as `_opset-8` with PyTorch, causes a warning.
- With `CM_RESNET50_STRICT=yes`, or `--strict` after `cm run script`, a warning becomes an error.
- The keys `CM_ML_MODEL_*` describe the file, whatever was requested.

## int8 and uint8

They name the precision of the weights in the file. The publishers quantized the few that exist;
this script quantizes nothing. Where no such file exists, a request that existing callers make gets
another file and a warning on stderr; other requests are refused. The exported keys are true for the
delivered file, and `CM_ML_MODEL_REQUESTED_PRECISION` is the requested precision:

{_precisions(catalog)}

The type of the input is a separate fact: a quantized file may take float32. See the column *inputs*
of the reference, or `cmx-resnet50 inspect`.

To get an error instead:

```bash
CM_RESNET50_STRICT=yes cmx-resnet50 get _onnx,_int8 || echo "no such file"
```

## Opset

The ONNX files have opset {_opsets(models)}; the default is the last. The network is the same. Use
an older opset only for a tool that cannot read the newer one. Only ONNX has opsets.

## Layout

`NCHW` is the order batch, channels, height, width; `NHWC` is batch, height, width, channels. The
layout is a property of the file, exported as `CM_ML_MODEL_DATA_LAYOUT`. Only ONNX has files of both
layouts: a caller that feeds `NHWC` requests `_onnx,_from-tf`. That file is on Google Drive only.

## Batch

{bullets(f"{text}: {', '.join(plain[m.url] for m in found)}." for text, found in batches.items())}

```bash
cm run script --tags=get,ml-model,resnet50,_onnx,_batch_size.4
cmx-resnet50 get _tensorflow,_batch_size.4 --to batch4
cmx-resnet50 inspect batch4/resnet50_v1.pb
```

The weights stay the same. `CM_ML_MODEL_STARTING_FILE_PATH` names the published file.
`_fix-input-shape` without a batch size means batch size 1. Under CM, `_tf,_fix-input-shape` finds
a Python and installs TensorFlow there, as documented; of several Pythons CM asks which one, unless
you add `--quiet`. Our code needs neither: `CM_RESNET50_SKIP_TENSORFLOW=yes` skips both.

## Classes and argmax

Files with 1001 classes have a background class first, so index 1 is ImageNet's class 0. Files with
1000 classes start with ImageNet's class 0. The output `ArgMax` is the index of the best class;
`softmax_tensor` holds the scores. `_no-argmax` means another file for TFLite only. Elsewhere it
changes the exported keys, not the file.

## Preprocessing

How a picture, with values from 0 to 255, becomes the input; [Preprocessing](preprocessing.md) has
the code:

{_lettered(preprocessing, letters, plain)}

## Licence

{_licences(models)}

The script is Apache-2.0; each file is its publisher's. The names in the
[table of files](reference.md#which-file-a-request-means) link to where each comes from.

## Random weights, for a first try

`_dummy-weights` makes the real graph with seeded random weights, in about a second and without a
network. Predictions are meaningless. Random weights exist for:

{dummies}

```bash
cmx-resnet50 get _pytorch,_dummy-weights --to random
```

## A file that is not in the table

Give its URL, `--const.CM_PACKAGE_URL=URL`, and its md5 or sha256,
`--const.CM_DOWNLOAD_CHECKSUM=DIGEST`. Without a digest it is delivered with
`CM_ML_MODEL_VERIFIED=no`. The exported keys then come from the file's content; a file of another
format is refused. For a file that you have already, see the
[notes](../README-extra.md#a-file-that-you-have-already).

{GENERATED}
"""


def _fact(fact: object) -> str:
    return UNKNOWN if fact is None else str(fact)


def _grouped(
    models: Iterable[Artifact], text: Callable[[Artifact], str]
) -> dict[str, list[Artifact]]:
    """Return `models` by what `text` says of them, in their order."""
    found: dict[str, list[Artifact]] = {}
    for model in models:
        found.setdefault(text(model), []).append(model)
    return found


def _steps(preprocessing: Mapping[str, Any] | None) -> str:
    if preprocessing is None:
        return UNKNOWN
    plain = {
        name: " ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in preprocessing.items()
    }
    return ", ".join(_STEPS[name].format(value) for name, value in plain.items())


def _lettered(
    grouped: Mapping[str, list[Artifact]],
    letters: Mapping[str, str],
    requests: Mapping[str, str],
) -> str:
    return bullets(
        f"**{letters[text]}** for {', '.join(requests[model.url] for model in models)}: {text}."
        for text, models in grouped.items()
    )


def _opsets(models: Iterable[Artifact]) -> str:
    return " and ".join(map(str, sorted({model.opset for model in models if model.opset})))


def _precisions(catalog: Catalog) -> str:
    """Return what each framework gives for each precision that is not the default."""
    known = {group.name: group.choices for group in catalog.variations.groups}
    others = [choice.name for choice in known["precision"] if not choice.default]
    rows = (
        (tag(choice.name), *(_given(catalog, choice.name, precision) for precision in others))
        for choice in known["framework"]
    )
    return table(("framework", *map(tag, others)), rows)


def _given(catalog: Catalog, framework: str, precision: str) -> str:
    asked = (framework, precision)
    request = Request.from_env(compose(catalog.meta, asked), explicit=asked)
    try:
        found = catalog.resolve(request)
    except RequestError:
        return "refused"
    if found.deviations:
        return f"{code(found.artifact.file)}, which is {found.artifact.precision}"
    return code(found.artifact.file)


def _licences(models: Iterable[Artifact]) -> str:
    found = _grouped(models, lambda model: _fact(model.license))
    if list(found) == [UNKNOWN]:
        return "No public source that was found states a licence for any of the files."
    return " ".join(_stated(found))


def _stated(found: Mapping[str, list[Artifact]]) -> Iterator[str]:
    for licence, models in found.items():
        yield f"{licence}: {', '.join(code(model.file) for model in models)}."
