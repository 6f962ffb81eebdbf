"""Transcripts -> files."""
