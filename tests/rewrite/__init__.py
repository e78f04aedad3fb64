"""Tests of cmx_resnet50.rewrite."""
