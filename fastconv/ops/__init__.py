"""Functional operations on NumPy arrays."""
