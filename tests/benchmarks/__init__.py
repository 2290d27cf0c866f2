"""How fast the hot paths are, each beside a named reference that does the same work."""
