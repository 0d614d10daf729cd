"""Named streams of randomness: every draw of a study comes from its seed and the name of what is drawn."""

import hashlib


def stream_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream `names` of the study's `seed`.

    Streams with different names or seeds are independent, and adding one changes no other. Pass the result to
    `numpy.random.default_rng` or `torch.Generator().manual_seed`.

    >>> stream_seed(0, "tasks", "add") == stream_seed(0, "tasks", "add")
    True
    >>> stream_seed(0, "a", "bc") == stream_seed(0, "ab", "c")
    False
    """
    text = "\x1f".join([str(seed), *map(str, names)])  # the unit separator keeps ("a", "bc") and ("ab", "c") apart
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
