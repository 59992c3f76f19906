"""Mutations: the code, broken in one place at a time, and the tests that have to notice."""
