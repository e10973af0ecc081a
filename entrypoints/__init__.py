"""How Drivebay is reached: HTTP and the command line, and the container that puts the parts together."""

__version__ = "0.1.0"
