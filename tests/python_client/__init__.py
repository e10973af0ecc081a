"""The package `drivebay`, and the commands that are built on it, against real servers."""
