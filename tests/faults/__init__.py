"""Faults and bad inputs, by kind: what is said, with which exit code, and that nothing is lost."""
