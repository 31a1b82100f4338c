"""Figures on the test split, their intervals, and the gates over them."""
