"""The interface for operators: health, metrics, documentation."""
