"""Speed of the hot paths, each against a named reference that does the same work."""
