"""The chat in the terminal: what it shows (transcript), how (rendering), and two ways to talk."""
