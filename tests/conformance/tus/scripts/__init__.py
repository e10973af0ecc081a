"""Programs that run in the environments of the clients, and know nothing of this project.

TUS is the URL where uploads are created, ID and CONTENT_TYPE are to be those of the blob, and the file is `file`.
"""
