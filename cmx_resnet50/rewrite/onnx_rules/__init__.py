"""What the operators of an ONNX model do with the batch: rules, by the kind of operator."""
