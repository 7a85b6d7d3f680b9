"""Rooms of training from scratch what searches found: how (protocol), one network (training), a study's (evaluation).

Beside the search: of a finished run it reads the architecture that a row names, and nothing else.
"""
