"""The frozen graph's batch fixed by TensorFlow itself; runs in an interpreter that has it.

``tensorflow_peer.py IN OUT BATCH`` prints seconds without imports, and the peak of memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # type: ignore[import-untyped]

begun = time.perf_counter()
given = tf.compat.v1.GraphDef()
given.ParseFromString(Path(sys.argv[1]).read_bytes())
with tf.Graph().as_default() as graph:
    shape = [int(sys.argv[3]), 224, 224, 3]
    image = tf.compat.v1.placeholder(tf.float32, shape, name="input_tensor")
    tf.import_graph_def(given, input_map={"input_tensor:0": image}, name="")
    Path(sys.argv[2]).write_bytes(graph.as_graph_def(add_shapes=True).SerializeToString())
seconds = time.perf_counter() - begun
status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024 / 1e6
print(json.dumps({"seconds": seconds, "peak_mb": peak, "version": tf.__version__}))
