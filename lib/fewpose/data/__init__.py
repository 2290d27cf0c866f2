"""Pose data in memory, and a reader for each format."""
