"""Syncs by workers that share no disk."""
