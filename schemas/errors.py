"""The two errors that are not bugs: a user's mistake and a row that cannot be read."""


class GristmillError(ValueError):
    """A mistake of the user's, told in one sentence: what, where, both values, what to do.

    The command prints the sentence and exits with status 2; no traceback.
    Always raised with a single string, because Beam rebuilds exceptions from ``args[0]``.
    """


class Unreadable(ValueError):
    """One row cannot be read; ``str(error)`` is the reason and the row goes to quarantine."""
