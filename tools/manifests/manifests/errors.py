"""The one error of this package: a sentence for the person at the terminal."""


class ManifestError(Exception):
    """Something that the person can act on. The text says what happened and what to do."""
