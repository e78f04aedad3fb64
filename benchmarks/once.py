"""One call in a process of its own; prints seconds without imports, and the peak of memory.

``fetch URL MD5 TARGET`` · ``requests`` · ``reshape IN OUT BATCH`` · ``library IN OUT BATCH``
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cmx_resnet50.cli.gc_tuning import collect_seldom
from cmx_resnet50.cli.light_imports import leave_out_detectors


def _fetch(url: str, md5: str, target: str) -> float:
    import cmx_resnet50.fetch.http.transfer  # noqa: F401 - what `fetch` imports when it is called
    from cmx_resnet50.digests import Expected
    from cmx_resnet50.fetch import FetchOptions, Source, fetch
    from cmx_resnet50.progress import progress_for

    begun = time.perf_counter()
    fetch(
        [Source(url, named_by_user=True)],
        Expected(md5=md5),
        Path(target),
        name="f",
        options=FetchOptions(),
        progress=progress_for(False),
    )
    return time.perf_counter() - begun


def _requests() -> float:
    import requests  # noqa: F401 - its memory is the figure

    return 0.0


def _reshape(source: str, target: str, batch: str) -> float:
    if source.endswith(".onnx"):
        import onnx.checker
        import onnx.shape_inference  # noqa: F401 - the goal counts from `import onnx` on
    from cmx_resnet50.rewrite import reshape

    begun = time.perf_counter()
    reshape(Path(source), Path(target), batch=int(batch))
    return time.perf_counter() - begun


def _library(source: str, target: str, batch: str) -> float:
    """Do it as the onnx package's own means do: parse, set, infer, save."""
    import onnx
    import onnx.shape_inference

    begun = time.perf_counter()
    model = onnx.load(source)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = int(batch)
    del model.graph.value_info[:]
    onnx.save(onnx.shape_inference.infer_shapes(model, strict_mode=True), target)
    return time.perf_counter() - begun


def peak_mb() -> float:
    """Return the most that this process had in memory, in MB.

    Not getrusage's ``ru_maxrss``: that also holds the size of whoever started the process.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError("the kernel tells no VmHWM")


_CALLS: dict[str, Callable[..., float]] = {
    "fetch": _fetch,
    "requests": _requests,
    "reshape": _reshape,
    "library": _library,
}


if __name__ == "__main__":
    with collect_seldom():  # As our own command does, and the next line, too.
        leave_out_detectors()
        seconds = _CALLS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}))
