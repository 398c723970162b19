"""The configs of the runner's searches."""
