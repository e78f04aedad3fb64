"""The ResNet-50 weights of MLPerf: requested by tags, fetched once, verified, in place.

The package is the library behind the CM script ``get-ml-model-resnet50`` and the
command ``cmx-resnet50``. From Python::

    from cmx_resnet50 import get

    model = get("onnx opset-8")

The public names are in ``__all__``; each is imported when it is first used, because a cached
``cm run`` imports this module and pays for everything in it.
"""

__all__ = [
    "ConversionError",
    "DigestError",
    "DiskFullError",
    "FetchError",
    "FormatError",
    "KnownModel",
    "Model",
    "ModelFacts",
    "OfflineError",
    "OptionError",
    "Preprocessing",
    "RequestError",
    "ReshapeError",
    "Resnet50Error",
    "Resnet50Warning",
    "StoreError",
    "TensorInfo",
    "convert",
    "find",
    "get",
    "inspect",
    "models",
    "reshape",
]

__version__: str

TYPE_CHECKING = False  # As typing's own, which would be an import.
if TYPE_CHECKING:
    from cmx_resnet50.api import convert, find, get, inspect, models, reshape
    from cmx_resnet50.catalog.request import RequestError
    from cmx_resnet50.errors import DigestError, DiskFullError, Resnet50Error, Resnet50Warning
    from cmx_resnet50.fetch.errors import FetchError, OfflineError
    from cmx_resnet50.formats.facts import FormatError, ModelFacts, TensorInfo
    from cmx_resnet50.model import KnownModel, Model, Preprocessing
    from cmx_resnet50.options import OptionError
    from cmx_resnet50.rewrite.errors import ReshapeError
    from cmx_resnet50.rewrite.pytorch_zip import ConversionError
    from cmx_resnet50.store.model import StoreError

_HOMES = {
    "ConversionError": "rewrite.pytorch_zip",
    "DigestError": "errors",
    "DiskFullError": "errors",
    "FetchError": "fetch.errors",
    "FormatError": "formats.facts",
    "KnownModel": "model",
    "Model": "model",
    "ModelFacts": "formats.facts",
    "OfflineError": "fetch.errors",
    "OptionError": "options",
    "Preprocessing": "model",
    "RequestError": "catalog.request",
    "ReshapeError": "rewrite.errors",
    "Resnet50Error": "errors",
    "Resnet50Warning": "errors",
    "StoreError": "store.model",
    "TensorInfo": "formats.facts",
    "convert": "api",
    "find": "api",
    "get": "api",
    "inspect": "api",
    "models": "api",
    "reshape": "api",
}

if not TYPE_CHECKING:  # A type checker sees the imports above, and so names that do not exist.

    def __getattr__(name):
        if name == "__version__":
            return _version()
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("cmx-resnet50")
    except PackageNotFoundError:  # a checkout that is on sys.path and not installed
        return "unknown"
