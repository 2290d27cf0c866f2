"""The default data: rendered worlds with exact ground truth."""
