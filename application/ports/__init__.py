"""What the use cases need from outside, with the promises of both sides."""
