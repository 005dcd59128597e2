"""The one exception that the adapter's own files raise."""


class Refused(Exception):
    """What cannot be done, said in one line for people. It needs no traceback."""
