"""The real `docker compose`, in clean checkouts: each profile, as the README has it, and the cluster under load."""
