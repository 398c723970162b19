"""Figures of an experiment, one a file: read from its journal, drawn by matplotlib without pyplot, so that no state of it is touched."""
