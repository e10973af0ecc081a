"""The error that ends a start."""


class StartError(Exception):
    """Drivebay can't start. The message names the setting to blame, and what to do."""
