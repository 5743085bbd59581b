"""Lazy texts in other people's systems: one module each, which says in its first lines how it is used."""
