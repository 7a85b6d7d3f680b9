"""Runs and studies: carried out, resumed, shared, looked at again."""
