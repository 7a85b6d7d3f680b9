"""What it means: read, computed, drawn, said."""
