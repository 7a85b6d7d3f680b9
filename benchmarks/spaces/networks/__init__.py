"""Rooms of the networks that single architectures are trained as, from scratch.

``network`` has the words; beside it a file for each family of spaces. Nothing of tables, images or searches is
imported.
"""
