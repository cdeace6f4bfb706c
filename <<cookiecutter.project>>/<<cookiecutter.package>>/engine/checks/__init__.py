"""What trains wrong without failing: one file for each thing that is looked at."""
