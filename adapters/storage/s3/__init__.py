"""Objects in an S3 bucket, over aiobotocore."""

import os

# Where awscrt is installed, botocore signs with it, which is slower here, and other in details. It is installed for the
# checksums of the S3 interface only. botocore reads this when it is imported.
os.environ.setdefault("BOTO_DISABLE_CRT", "true")
