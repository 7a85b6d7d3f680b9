"""What is searched, and who knows the answer."""
