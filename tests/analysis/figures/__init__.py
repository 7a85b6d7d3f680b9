"""Figures: the numbers that they show."""
