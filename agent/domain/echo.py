"""Whether a text in a provider's list is one of ours, as providers hand texts back.

Not always letter by letter: trial accounts put a sentence before a text, and "smart encoding" swaps
characters for look-alikes. Taking such a text for a stranger's would prove an absence that is none, and
the borrower would hear us twice.
"""

from agent.domain.folding import fold


def is_echo(ours: str, theirs: str) -> bool:
    """Theirs has all our letters and figures in a row; signs, accents, width and blanks do not count."""
    if ours == theirs:
        return True
    bare = _bare(ours)
    return bool(bare) and bare in _bare(theirs)


def _bare(text: str) -> str:
    return "".join(character for character in fold(text).text if character.isalnum())
