"""Uploads that a client resumes."""
