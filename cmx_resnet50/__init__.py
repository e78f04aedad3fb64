"""The ResNet-50 weights of MLPerf: asked for by tags, fetched whole, checked, and there fast.

The package is the library behind the CM script ``get-ml-model-resnet50`` and the
command ``cmx-resnet50``. Nothing is imported here, because a cached ``cm run`` pays
for every import.
"""

__version__ = "0.1.0"
