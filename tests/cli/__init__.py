"""The command ``cmx-resnet50``, as a user installs and runs it."""
