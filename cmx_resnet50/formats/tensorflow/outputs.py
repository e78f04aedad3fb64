"""Which type the first output of an operation has, by its attributes or by its kind."""

from __future__ import annotations

from collections.abc import Mapping

from cmx_resnet50.formats.protobuf import Document, Field
from cmx_resnet50.formats.tensorflow.nodes import DTYPES, Node

_REFERENCE = 100
"""Added to a DataType for a reference to a variable of it."""

_FIXED_OUTPUTS = {
    op: dtype
    for dtype, ops in {
        "bool": "ApproximateEqual Equal Greater GreaterEqual InTopK InTopKV2 IsFinite IsInf IsNan"
        " IsVariableInitialized Less LessEqual NotEqual RiscBinaryComparison RiscIsFinite ToBool",
        "float32": "AdjustContrast CropAndResize CropAndResizeGradBoxes EditDistance"
        " RequantizationRangePerChannel ResizeArea ResizeBicubic ResizeBilinear RiscRandomUniform"
        " ScaleAndTranslate TensorArrayScatter TensorArrayScatterV2 TensorArrayScatterV3"
        " TensorArraySplit TensorArraySplitV2 TensorArraySplitV3 TensorArrayUnpack TensorArrayWrite"
        " TensorArrayWriteV2 TensorArrayWriteV3",
        "float64": "DebugNumericSummary",
        "int32": "Bucketize NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4"
        " NonMaxSuppressionV5 Rank SetSize",
        "int64": "AddManySparseToTensorsMap AddSparseToTensorsMap CTCBeamSearchDecoder"
        " CTCGreedyDecoder DebugNanCount DenseCountSparseOutput DenseToDenseSetOperation"
        " DenseToSparseSetOperation DeserializeManySparse DeserializeSparse"
        " RaggedCountSparseOutput RaggedFillEmptyRows RaggedTensorToSparse"
        " SparseAccumulatorTakeGradient SparseAdd SparseConcat SparseCountSparseOutput SparseCross"
        " SparseFillEmptyRows SparseReduceMaxSparse SparseReduceSumSparse SparseReorder SparseSlice"
        " SparseSparseMaximum SparseSparseMinimum SparseSplit SparseToSparseSetOperation"
        " TakeManySparseFromTensorsMap Where",
        "resource": "GetSessionHandleV2 ResourceConditionalAccumulator TensorArrayV3 VarHandleOp",
        "string": "AsString ConditionalAccumulator DtypeWithDefaultOp EncodePng GetSessionHandle"
        " HistogramSummary ImageSummary ScalarSummary SerializeTensor SparseConditionalAccumulator"
        " Substr TensorArray TensorArrayV2 TensorSummary TensorSummaryV2",
        "uint8": "Fingerprint PopulationCount",
        "uint64": "XlaRngBitGenerator",
        "variant": "DenseToCSRSparseMatrix Prelinearize SparseMatrixAdd SparseMatrixMul"
        " SparseTensorToCSRSparseMatrix",
    }.items()
    for op in ops.split()
}
"""The operations whose first output has one type, whatever their attributes are."""

_OUTPUT_TYPES = ("output_type", "out_type", "output_dtype", "Tout", "type", "dtype", "DstT", "T")
"""The attributes that may be the type of the first output, the decisive one first."""

_OUTPUT_DEFAULTS = {
    op: dtype
    for dtype, ops in {
        "complex64": "Complex",
        "float32": "Angle ComplexAbs DebugNumericSummaryV2 Dequantize Imag IsotonicRegression Real"
        " RiscImag RiscReal StatelessRandomNormal StatelessRandomUniform StatelessTruncatedNormal",
        "int32": "HistogramFixedWidth LowerBound RiscShape Shape ShapeN Size UpperBound",
        "int64": "ArgMax ArgMin Multinomial RaggedRange StatefulRandomBinomial StatelessMultinomial"
        " StatelessRandomBinomial",
        "string": "SerializeManySparse SerializeSparse",
        "uint64": "StatelessRandomUniformFullInt",
        "uint8": "RequantizePerChannel",
    }.items()
    for op in ops.split()
}
"""The operations that may omit their attribute for the type of the output; T is the input's."""


def read_dtype(document: Document, node: Node, attributes: Mapping[str, Field]) -> str | None:
    """Return NumPy's name of the type of a node's first output, None if it is not known."""
    if node.op in _FIXED_OUTPUTS:
        return _FIXED_OUTPUTS[node.op]
    default = _OUTPUT_DEFAULTS.get(node.op)
    for key in _OUTPUT_TYPES:
        if key in attributes and not (key == "T" and default):
            kind = document.only(attributes[key], 6)
            number = 0 if kind is None else document.integer(kind)
            if number > _REFERENCE:
                number -= _REFERENCE
            return DTYPES.get(number, (None, None))[0]
    return default
