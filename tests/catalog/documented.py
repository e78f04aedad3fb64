"""The published facts, written out by hand: env per variation, and the files.

Sources: the table "Env per variation" of the contract of ``get-ml-model-resnet50``, and the
table of model files (publishers' md5, other copies of the same bytes, top-1 in percent).
Nothing here is computed from ``_cm.json``.
"""

from __future__ import annotations

from dataclasses import dataclass

ZENODO = "https://zenodo.org/record"
DROPBOX = "https://www.dropbox.com/s"
OPSET_11_URL = f"{ZENODO}/4735647/files/resnet50_v1.onnx"
OPSET_8_URL = f"{ZENODO}/2592612/files/resnet50_v1.onnx"
FROM_TF_URL = "https://drive.google.com/uc?id=15wZ_8Vt12cb10IEBsln8wksD1zGwlbOM"
TENSORFLOW_URL = f"{ZENODO}/2535873/files/resnet50_v1.pb"
PYTORCH_URL = f"{ZENODO}/4588417/files/resnet50-19c8e357.pth"
PYTORCH_INT8_URL = f"{ZENODO}/4589637/files/resnet50_INT8bit_quantized.pt"
NCNN_URL = f"{ZENODO}/8073420/files/resnet50_v1.bin?download=1"
PARAM_URL = f"{ZENODO}/8073420/files/resnet50_v1.param?download="
ARGMAX_URL = f"{DROPBOX}/cvv2zlfo80h54uz/resnet50_v1.tflite.gz?dl=1"
NO_ARGMAX_URL = f"{DROPBOX}/vhuqo0wc39lky0a/resnet50_v1.no-argmax.tflite?dl=1"
EDGETPU_URL = f"{ZENODO}/8234946/files/resnet50_quant_full_mlperf_edgetpu.tflite?download=1"
HUGGINGFACE_URL = (
    "https://huggingface.co/ctuning/mlperf-inference-resnet50-onnx-fp32-imagenet2012-v1.0"
    "/resolve/main/resnet50_v1.onnx"
)


@dataclass(frozen=True)
class File:
    """What is publicly known of one file; None stands for unknown. Top-1 in percent."""

    file: str
    format: str
    precision: str | None
    url: str
    mirrors: tuple[str, ...] = ()
    md5: str | None = None
    archive_md5: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    approx_bytes: int | None = None
    top1: str | None = None


OPSET_11 = File(
    "resnet50_v1.onnx",
    "onnx",
    "fp32",
    OPSET_11_URL,
    (
        "https://armi.in/files/resnet50_v1_op11/resnet50_v1.onnx",
        "https://storage.googleapis.com/resnet50_assets/resnet50_v1.onnx",
        HUGGINGFACE_URL,
    ),
    md5="f6a4da60cd5f084d97efc2c1ddb10beb",
    approx_bytes=102_160_000,
    top1="76.456",
)
OPSET_8 = File(
    "resnet50_v1.onnx",
    "onnx",
    "fp32",
    OPSET_8_URL,
    ("https://armi.in/files/resnet50_v1.onnx",),
    md5="a638cf028b5870da29e09ccc2f7182e7",
    approx_bytes=102_160_000,
    top1="76.456",
)
FROM_TF = File(
    "resnet50_v1_modified.onnx",
    "onnx",
    "fp32",
    FROM_TF_URL,
    md5="04a510152d9eded924883bdfcf85dd4a",
)
TENSORFLOW = File(
    "resnet50_v1.pb",
    "tensorflow",
    "fp32",
    TENSORFLOW_URL,
    ("https://armi.in/files/resnet50_v1.pb",),
    md5="7b94a2da05dd30f6c0af23a46bc08886",
    approx_bytes=102_000_000,
    top1="76.456",
)
PYTORCH = File(
    "resnet50-19c8e357.pth",
    "pytorch",
    "fp32",
    PYTORCH_URL,
    ("https://download.pytorch.org/models/resnet50-19c8e357.pth",),
    md5="9e9c86b324d80e65229fab49b8d9a8e8",
    sha256="19c8e3572231adff6824a2da93fd67b5986919a2e65f8b6007eab4edee220097",
    bytes=102_502_400,
    top1="76.014",
)
PYTORCH_INT8 = File(
    "resnet50_INT8bit_quantized.pt",
    "pytorch",
    "int8",
    PYTORCH_INT8_URL,
    md5="6893ea9769b0afce65bb0ddf002f4438",
    approx_bytes=26_000_000,
    top1="75.790",
)
NCNN = File(
    "resnet50_v1.bin",
    "ncnn",
    "fp32",
    NCNN_URL,
    md5="0360777ab2178a65a8f78c35a7d619e0",
    approx_bytes=102_122_104,
    top1="76.14",
)
PARAM = File(
    "resnet50_v1.param",
    "ncnn",
    None,
    PARAM_URL,
    md5="f9ba6c4d7f66348e6d24c06bfe3f4ae8",
    approx_bytes=10_000,
)
ARGMAX = File(
    "resnet50_v1.tflite",
    "tflite",
    "fp32",
    ARGMAX_URL,
    archive_md5="92b5ae497e0de5c2d487507953b6e5cc",
    top1="76.456",
)
NO_ARGMAX = File(
    "resnet50_v1.no-argmax.tflite",
    "tflite",
    "fp32",
    NO_ARGMAX_URL,
    md5="53e81f9f9b459ecfb6d64add3da91564",
    approx_bytes=102_000_000,
    top1="76.456",
)
EDGETPU = File(
    "resnet50_quant_full_mlperf_edgetpu.tflite",
    "tflite",
    "int8",
    EDGETPU_URL,
    md5="a657cf1f97545aefd058c1c718cc0e17",
    approx_bytes=26_000_000,
)
FILES = (
    OPSET_11,
    OPSET_8,
    FROM_TF,
    TENSORFLOW,
    PYTORCH,
    PYTORCH_INT8,
    NCNN,
    PARAM,
    ARGMAX,
    NO_ARGMAX,
    EDGETPU,
)

_P = "CM_ML_MODEL_"
_URL = "<<<CM_PACKAGE_URL>>>"
_TFLITE_SHAPES = r"\"input_tensor 2\": (BATCH_SIZE, 224, 224, 3)"

ALWAYS = {
    "CM_DOWNLOAD_FINAL_ENV_NAME": "CM_ML_MODEL_FILE_WITH_PATH",
    "CM_ML_MODEL": "RESNET50",
    _P + "DATASET": "imagenet2012-val",
    _P + "IMAGE_HEIGHT": "224",
    _P + "IMAGE_WIDTH": "224",
    _P + "NORMALIZE_DATA": "0",
    _P + "RETRAINING": "no",
    _P + "SUBTRACT_MEANS": "YES",
    _P + "WEIGHT_TRANSFORMATIONS": "no",
}


def _precision(name: str) -> dict[str, str]:
    return {_P + key: name for key in ("INPUT_DATA_TYPES", "PRECISION", "WEIGHT_DATA_TYPES")}


_TENSORFLOW = {
    _P + "ACCURACY": "76.456",
    _P + "DATA_LAYOUT": "NHWC",
    _P + "FRAMEWORK": "tensorflow",
    _P + "GIVEN_CHANNEL_MEANS": "123.68 116.78 103.94",
    _P + "INPUT_LAYERS": "input_tensor",
    _P + "INPUT_LAYER_NAME": "input_tensor",
    _P + "INPUT_SHAPES": r"\"input_tensor:0\": (BATCH_SIZE, 3, 224, 224)",
    _P + "NORMALIZE_DATA": "0",
    _P + "OUTPUT_LAYERS": "softmax_tensor",
    _P + "OUTPUT_LAYER_NAME": "softmax_tensor",
    _P + "STARTING_WEIGHTS_FILENAME": _URL,
    _P + "SUBTRACT_MEANS": "YES",
}

VARIATION_ENV: dict[str, dict[str, str]] = {
    "argmax": {_P + "OUTPUT_LAYER_ARGMAX": "yes"},
    "no-argmax": {_P + "OUTPUT_LAYER_ARGMAX": "no"},
    "batch_size.#": {_P + "BATCH_SIZE": "#"},
    "batch_size.1": {_P + "BATCH_SIZE": "1"},
    "fix-input-shape": {},
    "from-tf": {},
    "huggingface_default": {"CM_PACKAGE_URL": HUGGINGFACE_URL},
    "fp32": _precision("fp32"),
    "int8": _precision("int8"),
    "uint8": _precision("uint8"),
    "opset-8": {_P + "ONNX_OPSET": "8"},
    "opset-11": {_P + "ONNX_OPSET": "11"},
    "ncnn": {_P + "FRAMEWORK": "ncnn"},
    "ncnn,fp32": {"CM_PACKAGE_URL": NCNN_URL},
    "onnx": {
        _P + "DATA_LAYOUT": "NCHW",
        _P + "FRAMEWORK": "onnx",
        _P + "INPUT_LAYERS": "input_tensor:0",
        _P + "INPUT_LAYER_NAME": "input_tensor:0",
        _P + "INPUT_SHAPES": r"\"input_tensor:0\": (BATCH_SIZE, 3, 224, 224)",
        _P + "OUTPUT_LAYERS": "softmax_tensor:0",
        _P + "OUTPUT_LAYER_NAME": "softmax_tensor:0",
        _P + "STARTING_WEIGHTS_FILENAME": _URL,
        _P + "VER": "1.5",
    },
    "onnx,from-tf": {
        _P + "DATA_LAYOUT": "NHWC",
        _P + "FRAMEWORK": "onnx",
        _P + "INPUT_LAYERS": "input_tensor",
        _P + "INPUT_LAYER_NAME": "input_tensor",
        _P + "INPUT_SHAPES": r"\"input_tensor\": (BATCH_SIZE, 224, 224, 3)",
        _P + "OUTPUT_LAYERS": "softmax_tensor",
        _P + "OUTPUT_LAYER_NAME": "softmax_tensor",
        _P + "STARTING_WEIGHTS_FILENAME": TENSORFLOW_URL,
    },
    "onnx,from-tf,fp32": {
        "CM_DOWNLOAD_FILENAME": "resnet50_v1_modified.onnx",
        "CM_PACKAGE_URL": FROM_TF_URL,
    },
    "onnx,opset-8": {"CM_PACKAGE_URL": OPSET_8_URL},
    "onnx,opset-11": {"CM_PACKAGE_URL": OPSET_11_URL},
    "pytorch": {
        _P + "DATA_LAYOUT": "NCHW",
        _P + "FRAMEWORK": "pytorch",
        _P + "GIVEN_CHANNEL_MEANS": "?",
        _P + "INPUT_LAYER_NAME": "input_tensor:0",
        _P + "INPUT_SHAPES": r"\"input_tensor:0\": [BATCH_SIZE, 3, 224, 224]",
        _P + "OUTPUT_LAYERS": "output",
        _P + "OUTPUT_LAYER_NAME": "?",
        "CM_ML_STARTING_WEIGHTS_FILENAME": _URL,
    },
    "pytorch,fp32": {"CM_PACKAGE_URL": PYTORCH_URL},
    "pytorch,int8": {"CM_PACKAGE_URL": PYTORCH_INT8_URL},
    "tensorflow": {**_TENSORFLOW, "CM_PACKAGE_URL": TENSORFLOW_URL},
    "tensorflow,fix-input-shape": {_P + "TF_FIX_INPUT_SHAPE": "yes"},
    "tflite": {**_TENSORFLOW, _P + "FRAMEWORK": "tflite", _P + "INPUT_SHAPES": _TFLITE_SHAPES},
    "tflite,argmax": {
        "CM_DAE_EXTRACT_DOWNLOADED": "yes",
        "CM_DOWNLOAD_FINAL_ENV_NAME": "",
        "CM_EXTRACT_FINAL_ENV_NAME": "CM_ML_MODEL_FILE_WITH_PATH",
        _P + "FILE": "resnet50_v1.tflite",
        _P + "INPUT_SHAPES": _TFLITE_SHAPES,
        "CM_PACKAGE_URL": ARGMAX_URL,
    },
    "tflite,no-argmax": {
        _P + "FILE": "resnet50_v1.no-argmax.tflite",
        _P + "INPUT_SHAPES": _TFLITE_SHAPES,
        "CM_PACKAGE_URL": NO_ARGMAX_URL,
    },
    "tflite,int8,no-argmax": {
        "CM_DOWNLOAD_FINAL_ENV_NAME": "CM_ML_MODEL_FILE_WITH_PATH",
        _P + "FILE": "resnet50_quant_full_mlperf_edgetpu.tflite",
        _P + "INPUT_SHAPES": _TFLITE_SHAPES,
        "CM_PACKAGE_URL": EDGETPU_URL,
    },
    "dummy-weights": {},
}
"""Env of every variation; the md5 that goes with a CM_PACKAGE_URL stands in `FILES`."""

ALIASES = {"onnxruntime": "onnx", "tf": "tensorflow"}
GROUPS = {
    "framework": {"ncnn", "onnx", "pytorch", "tensorflow", "tflite"},
    "model-output": {"argmax", "no-argmax"},
    "opset-version": {"opset-8", "opset-11"},
    "precision": {"fp32", "int8", "uint8"},
}
DEFAULTS = {"framework": "onnx", "model-output": "argmax", "precision": "fp32"}
TAGS = ["get", "raw", "ml-model", "resnet50", "ml-model-resnet50", "image-classification"]
