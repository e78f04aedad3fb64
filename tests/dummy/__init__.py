"""Tests of the files with random weights."""
