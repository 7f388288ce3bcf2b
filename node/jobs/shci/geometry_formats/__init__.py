"""Formats of molecular geometries: each is parsed as intended, or refused with the name of the format."""
