"""The JSON form of a blob, with its bytes in base64."""
