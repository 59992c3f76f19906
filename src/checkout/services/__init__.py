"""Verbs: everything that changes something. One file a subject."""
