"""The server: one message path from socket to store to every device."""
