"""How many parts a text takes: providers and carriers count and pace parts, not messages."""

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWICE = frozenset("^{}\\[~]|€\f")
_GSM_ONE, _GSM_MANY = 160, 153
_UCS2_ONE, _UCS2_MANY = 70, 67


def segments(text: str) -> int:
    """Parts of a text: GSM-7 where every character allows it, UTF-16 otherwise. No unit is split."""
    if all(char in _GSM or char in _GSM_TWICE for char in text):
        sizes = [2 if char in _GSM_TWICE else 1 for char in text]
        return _parts(sizes, _GSM_ONE, _GSM_MANY)
    sizes = [2 if ord(char) > 0xFFFF else 1 for char in text]
    return _parts(sizes, _UCS2_ONE, _UCS2_MANY)


def _parts(sizes: list[int], one: int, many: int) -> int:
    if sum(sizes) <= one:
        return 1
    parts, used = 1, 0
    for size in sizes:
        if used + size > many:
            parts, used = parts + 1, 0
        used += size
    return parts
