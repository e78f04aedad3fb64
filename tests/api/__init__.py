"""The public functions of ``cmx_resnet50``, in this process, on small files."""
