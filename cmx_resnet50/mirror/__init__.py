"""The store's files elsewhere: bundles to carry, and objects in S3 to serve a site from."""
