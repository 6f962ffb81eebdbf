"""Recordings -> transcripts."""
