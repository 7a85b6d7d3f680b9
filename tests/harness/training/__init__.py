"""What searches found, trained from scratch."""
