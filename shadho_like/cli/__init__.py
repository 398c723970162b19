"""The command `shadho`."""
