"""Middleware: of the application, in one pass, and of the routes of a face."""
