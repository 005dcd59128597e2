"""Where a path leads."""

import os


def is_directory_traversal(directory):
    """Say whether a path leads out of the working folder, by its text."""
    here = os.path.abspath(os.getcwd())
    there = os.path.abspath(os.path.relpath(directory, start=here))
    return os.path.commonprefix([there, here]) != here
