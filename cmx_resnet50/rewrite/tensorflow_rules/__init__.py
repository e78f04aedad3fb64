"""What the operators of a TensorFlow graph do with a batch."""
