"""`drivebay check` and `drivebay migrations` as an operator runs them: on real servers, right and wrong ones."""
