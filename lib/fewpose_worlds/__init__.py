"""The embedded data: rendered worlds with exact ground truth."""
