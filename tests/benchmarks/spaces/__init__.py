"""Spaces and their layers against their oracles."""
