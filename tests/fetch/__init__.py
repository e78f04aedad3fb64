"""Tests of `cmx_resnet50.fetch`, by a real server with real faults."""
