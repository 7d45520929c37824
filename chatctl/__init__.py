"""chatctl: a real-time chat server for AI companions."""
