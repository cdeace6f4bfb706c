"""What takes training of its own, or a pass over all data: python doctor.py."""
