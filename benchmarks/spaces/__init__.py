"""Search spaces: the words (space.py), one file per space, and what their cells are and are called.

Imports PyTorch and layers, except for facts and graphs, which are plain Python; tables, images and searching are above.
"""
