"""Texts that are made of others, a part at a time, when they are asked for."""
