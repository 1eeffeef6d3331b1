"""Tile state: the tiles of a row as bytes, and what a tile keeps that is not one number."""
