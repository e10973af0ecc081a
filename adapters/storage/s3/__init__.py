"""Objects in an S3 bucket, over aiobotocore."""
