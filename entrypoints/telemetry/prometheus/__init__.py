"""Metrics for Prometheus, of all workers."""
