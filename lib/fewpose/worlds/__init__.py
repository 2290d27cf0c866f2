"""The embedded data: people, motions, scenes and a renderer."""
