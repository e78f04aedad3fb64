"""Models for ncnn."""
