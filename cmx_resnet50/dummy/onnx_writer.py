"""Writes the network as ONNX, in the form that tf2onnx gives the published files.

Batch normalization is folded into every convolution but the first, and the tail is ReduceMean,
Reshape and Squeeze, as public tools that rename the nodes of the published file show; its size,
too, rules out 53 normalizations. Opset 8 comes as IR 4 with every
initializer repeated as a graph input, opset 11 as IR 6 without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from cmx_resnet50.dummy.network import EPSILON, IMAGE, Block, Conv, Pool, Speller, walk
from cmx_resnet50.dummy.tensorflow_names import SCOPE, Names, numbered
from cmx_resnet50.dummy.weights import Weights, description, little_endian, sentence

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
    from numpy.typing import NDArray

BATCH = "N"
"""Name of the symbolic batch dimension."""

_IR_VERSIONS = {8: 4, 11: 6}


@dataclass(frozen=True)
class Form:
    """How the ONNX files differ: opset, layout of the input, and names of inputs and outputs."""

    opset: int
    layout: str = "NCHW"
    input_name: str = "input_tensor:0"
    argmax_name: str = "ArgMax:0"
    softmax_name: str = "softmax_tensor:0"

    @classmethod
    def from_tensorflow(cls, opset: int) -> Form:
        """Return the form of the NHWC file, with the names that are documented for it.

        Only its output ``ArgMax:0`` is publicly known from the file itself.
        """
        return cls(opset, "NHWC", input_name="input_tensor", softmax_name="softmax_tensor")


def write(out: BinaryIO, weights: Weights, form: Form) -> None:
    """Write the whole model to `out`."""
    out.write(_OnnxSpeller(weights, form).model().SerializeToString(deterministic=True))


class _OnnxSpeller(Speller[str]):
    """Adds nodes in order and declares the shape of each value."""

    def __init__(self, weights: Weights, form: Form) -> None:
        import onnx

        self._onnx = onnx
        self._weights = weights
        self._form = form
        self._graph = onnx.GraphProto(name="resnet50_v1")
        self._names = Names()

    def model(self) -> onnx.ModelProto:
        """Build the model; every field is set here, so that no release of onnx changes one."""
        walk(self._weights.network, self)
        form = self._form
        model = self._onnx.ModelProto(
            ir_version=_IR_VERSIONS[form.opset],
            producer_name="cmx-resnet50",
            doc_string=f"ResNet-50 v1.5 with random weights: {sentence(self._weights.seed)}",
        )
        model.opset_import.add(domain="", version=form.opset)
        for key, value in description(self._weights.seed).items():
            model.metadata_props.add(key=key, value=value)
        model.graph.CopyFrom(self._graph)
        return model

    def image(self) -> str:
        """Add the input, and turn it to NCHW if it is not."""
        form = self._form
        if form.layout == "NCHW":
            self._declare(self._graph.input, form.input_name, (3, IMAGE, IMAGE))
            return form.input_name
        self._declare(self._graph.input, form.input_name, (IMAGE, IMAGE, 3))
        return self._node(
            "Transpose",
            f"{SCOPE}/transpose",
            [form.input_name],
            (3, IMAGE, IMAGE),
            perm=[0, 3, 1, 2],
        )

    def conv(self, conv: Conv, value: str, *, relu: bool) -> str:
        """Add a convolution with the normalization folded in; that of the stem stays apart."""
        value = self._add_stem(conv, value) if conv.index == 0 else self._add_folded(conv, value)
        return self._relu(value, conv.outputs, conv.side) if relu else value

    def _add_stem(self, stem: Conv, value: str) -> str:
        scope = numbered("conv2d", stem.index)
        kernel = self._constant(f"{scope}/kernel:0", self._weights.kernel(stem))
        value = self._add_conv(stem, [value, kernel])
        scope = numbered("batch_normalization", stem.index)
        norm = self._weights.norm(stem)
        vectors = [
            self._constant(f"{scope}/{name}:0", vector)
            for name, vector in (
                ("gamma", norm.gamma),
                ("beta", norm.beta),
                ("moving_mean", norm.mean),
                ("moving_variance", norm.variance),
            )
        ]
        return self._node(
            "BatchNormalization",
            f"{scope}/FusedBatchNorm",
            [value, *vectors],
            (stem.outputs, stem.side, stem.side),
            epsilon=EPSILON,
        )

    def _add_folded(self, conv: Conv, value: str) -> str:
        kernel, bias = self._weights.folded(conv)
        scope = numbered("conv2d", conv.index)
        constants = [
            self._constant(f"{scope}/kernel:0", kernel),
            self._constant(f"{scope}/bias:0", bias),
        ]
        return self._add_conv(conv, [value, *constants])

    def _add_conv(self, conv: Conv, inputs: list[str]) -> str:
        return self._node(
            "Conv",
            f"{numbered('conv2d', conv.index)}/Conv2D",
            inputs,
            (conv.outputs, conv.side, conv.side),
            dilations=[1, 1],
            group=1,
            kernel_shape=[conv.kernel] * 2,
            pads=[conv.padding] * 4,
            strides=[conv.stride] * 2,
        )

    def _relu(self, value: str, channels: int, side: int) -> str:
        return self._node("Relu", self._names.next("Relu"), [value], (channels, side, side))

    def pool(self, pool: Pool, value: str) -> str:
        """Add the max-pool."""
        return self._node(
            "MaxPool",
            f"{SCOPE}/max_pooling2d/MaxPool",
            [value],
            (pool.channels, pool.side, pool.side),
            kernel_shape=[pool.kernel] * 2,
            pads=list(pool.pads),
            strides=[pool.stride] * 2,
        )

    def total(self, block: Block, value: str, shortcut: str) -> str:
        """Add a sum and its ReLU."""
        shape = (block.outputs, block.side, block.side)
        value = self._node("Add", self._names.next("add"), [value, shortcut], shape)
        return self._relu(value, block.outputs, block.side)

    def head(self, value: str) -> None:
        """Add the tail and both outputs, in the order that consumers index."""
        import numpy as np

        features = self._weights.network.features
        classes = self._weights.network.variant.classes
        value = self._node(
            "ReduceMean", f"{SCOPE}/Mean", [value], (features, 1, 1), axes=[2, 3], keepdims=1
        )
        shape = np.array([-1, 1, 1, features], "<i8")
        target = self._constant(f"{SCOPE}/Mean/shape", shape)
        value = self._node("Reshape", f"{SCOPE}/Mean/reshape", [value, target], (1, 1, features))
        value = self._node("Squeeze", f"{SCOPE}/Squeeze", [value], (features,), axes=[1, 2])
        matrix, bias = self._weights.dense()
        # TensorFlow keeps the matrix as (features, classes).
        constants = [
            self._constant(f"{SCOPE}/dense/kernel:0", matrix.T),
            self._constant(f"{SCOPE}/dense/bias:0", bias),
        ]
        logits = self._node("Gemm", f"{SCOPE}/dense/BiasAdd", [value, *constants], (classes,))
        form = self._form
        int64 = self._onnx.TensorProto.INT64
        self._node("ArgMax", "ArgMax", [logits], None, form.argmax_name, axis=1, keepdims=0)
        self._node("Softmax", "softmax_tensor", [logits], None, form.softmax_name, axis=1)
        self._declare(self._graph.output, form.argmax_name, (), int64)
        self._declare(self._graph.output, form.softmax_name, (classes,))

    def _node(
        self,
        op: str,
        name: str,
        inputs: list[str],
        shape: tuple[int, ...] | None,
        output: str | None = None,
        **attributes: int | float | list[int],
    ) -> str:
        """Add a node with one output; `shape`, without the batch, is declared unless None."""
        output = output or f"{name}:0"
        node = self._graph.node.add(op_type=op, name=name, input=inputs, output=[output])
        kinds = self._onnx.AttributeProto
        for key, value in attributes.items():
            attribute = node.attribute.add(name=key)
            if isinstance(value, list):
                attribute.type = kinds.INTS
                attribute.ints.extend(value)
            elif isinstance(value, float):
                attribute.type = kinds.FLOAT
                attribute.f = value
            else:
                attribute.type = kinds.INT
                attribute.i = value
        if shape is not None:
            self._declare(self._graph.value_info, output, shape)
        return output

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        """Add an initializer, and in IR 4 the graph input of the same name."""
        kinds = self._onnx.TensorProto
        kind = kinds.INT64 if values.dtype.kind == "i" else kinds.FLOAT
        data = little_endian(values)
        self._graph.initializer.add(name=name, data_type=kind, dims=values.shape, raw_data=data)
        if _IR_VERSIONS[self._form.opset] == 4:
            self._declare(self._graph.input, name, values.shape, kind, batch=False)
        return name

    def _declare(
        self,
        where: RepeatedCompositeFieldContainer[onnx.ValueInfoProto],
        name: str,
        shape: tuple[int, ...],
        kind: int | None = None,
        *,
        batch: bool = True,
    ) -> None:
        """Add a value's type to `where`, a repeated field; float32 if no `kind` is given."""
        tensor = where.add(name=name).type.tensor_type
        tensor.elem_type = self._onnx.TensorProto.FLOAT if kind is None else kind
        tensor.shape.SetInParent()
        if batch:
            tensor.shape.dim.add(dim_param=BATCH)
        for length in shape:
            tensor.shape.dim.add(dim_value=length)
