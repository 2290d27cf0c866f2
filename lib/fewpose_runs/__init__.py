"""Profiles, run folders, the engine that executes notebooks, and the command line."""
