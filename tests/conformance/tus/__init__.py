"""Clients of tus and of the IETF draft."""
