"""Middleware of the routes of a face: each request passes these guards."""
