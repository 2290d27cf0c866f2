"""Figures, tables and the tidy results they are made of."""
