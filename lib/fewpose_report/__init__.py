"""Figures, tables and the tidy results that they are made from."""
