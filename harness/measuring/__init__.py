"""What is measured between epochs: curvature, and the supernet's and the table's accuracies.

Reads a search and never moves it; imports search and tables.
"""
