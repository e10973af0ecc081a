"""Threads and cancellation."""
