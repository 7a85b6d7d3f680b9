"""What is recorded between epochs, against its oracles."""
