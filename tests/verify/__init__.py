"""`drivebay verify` as an operator runs it: on real backends whose bytes are changed behind Drivebay's back."""
