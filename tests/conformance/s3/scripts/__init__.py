"""Programs that run in the environments of the clients, and know nothing of this project but the module `shared`.

Each is run as `python with_<library>.py <function>`. The server is in the environment, in the variables that clients of
S3 read; BUCKET is the name of a bucket that the function creates.
"""
