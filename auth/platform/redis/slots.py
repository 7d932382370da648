"""Hash slots: which keys belong together in a cluster.

A key with a tag in braces belongs to the slot of the tag. A script and a command may use keys of one slot only.
"""

import binascii

SLOTS = 16384


def slot_of(key: str | bytes) -> int:
    """The hash slot of a key or channel, as Redis computes it: CRC16 of its tag, else of all of it."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return binascii.crc_hqx(name, 0) % SLOTS
