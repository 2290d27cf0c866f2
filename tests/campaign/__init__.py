"""Damage of every kind to inputs, counted: `python tests/campaign` (not collected by pytest)."""
