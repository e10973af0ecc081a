"""What every implementation of a port promises, as suites that an implementation subclasses."""
