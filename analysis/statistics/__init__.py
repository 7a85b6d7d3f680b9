"""Statistics of few seeds: arrays in, arrays out.

Imports numpy and scipy, and nothing of this package but its array types.
"""
