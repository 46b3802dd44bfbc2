"""Journals of every release, and what their workflows looked like: readable for ever."""
