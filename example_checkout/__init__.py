"""A small shop that sells with checkout."""
