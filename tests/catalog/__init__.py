"""Tests of the table of artifacts, of the way from tags to one file, and of users' values."""
