"""What an operator sees: metrics, traces, log lines."""
