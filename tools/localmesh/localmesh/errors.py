"""The one error of this package: a sentence for the person at the terminal."""


class MeshError(Exception):
    """Something that the person can act on. The text says what happened and what to do."""
