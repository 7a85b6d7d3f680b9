"""Specs and study files: what is meant, and what is refused."""
