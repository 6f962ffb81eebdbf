"""Helpers that know nothing about speech."""
