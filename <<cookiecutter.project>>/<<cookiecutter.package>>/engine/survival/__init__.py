"""What makes a run survive: its folder and lock, durable files and checkpoints, exact resume, signals."""
