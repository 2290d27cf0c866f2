"""Pose data in memory, and a reader a format."""
