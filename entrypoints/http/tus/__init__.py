"""The tus interface to resumable uploads."""
