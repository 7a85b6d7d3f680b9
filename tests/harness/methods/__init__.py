"""Architects and perturbations against their oracles."""
