"""Weights of PyTorch, in any of its containers."""
