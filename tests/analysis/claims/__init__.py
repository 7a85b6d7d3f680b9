"""Verdicts whose truth is known."""
