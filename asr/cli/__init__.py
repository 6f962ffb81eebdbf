"""The `asr` command."""
