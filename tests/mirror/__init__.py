"""An object store as a site's mirror: filled with ``publish``, read through CM_RESNET50_MIRROR."""
