"""Drivebay next to nginx, rclone, an empty Litestar handler and bare system calls, all in one run."""
