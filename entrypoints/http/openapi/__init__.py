"""Building blocks of the OpenAPI document."""
