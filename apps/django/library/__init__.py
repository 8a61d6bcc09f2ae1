"""A small library: one model, its admin, one page."""
