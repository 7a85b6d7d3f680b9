"""Figures: a study in, a figure with the numbers drawn and a caption out.

``figures`` lists them, ``panels`` and ``layout`` are what they share; imports statistics and study.
"""
