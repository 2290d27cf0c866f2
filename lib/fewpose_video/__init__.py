"""A trained network on videos: find and track the person, crop, predict, write CSV and MP4; and for other tools."""
