"""From a trained network to films: find the person, follow, crop, predict, write CSV and MP4."""
