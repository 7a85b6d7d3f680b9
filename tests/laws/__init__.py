"""What holds across the rooms."""
