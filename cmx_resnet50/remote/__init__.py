"""Access to S3-compatible object stores, for those who read and those who fill them.

boto3 does the work. It is an extra: it is imported when an ``s3://`` URL is used, and never by a
run that finds its files in place or fetches them by HTTP.
"""
