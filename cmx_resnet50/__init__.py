"""The ResNet-50 weights of MLPerf: asked for by tags, fetched whole, checked, and there fast.

The package is the library behind the CM script ``get-ml-model-resnet50`` and the
command ``cmx-resnet50``. Nothing is imported here, because a cached ``cm run`` pays
for every import.
"""

__version__: str


def __getattr__(name: str) -> object:
    """Look up ``__version__``: that of the installed package, read when it is asked for."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cmx-resnet50")
    except PackageNotFoundError:  # a checkout that is on sys.path and not installed
        return "unknown"
