"""Data sets of images; one file each, and what they share."""
