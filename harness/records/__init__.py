"""What is on disk: the folder of a run and of a study, whole or damaged, whose it is, how far it is.

The standard library only, but for the lock of ``claiming``; analysis reads folders through this room.
"""
