"""Stores of other machines that are no web servers: how they are opened, what they say.

``s3`` speaks of S3-compatible stores, through boto3; ``filesystems`` of all else that fsspec
knows. Both packages are extras. They are imported when a URL asks for them, and never by a
run that finds its files in place or fetches them by HTTP.
"""
