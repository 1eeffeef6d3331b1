"""Encodes and decodes Protobuf's variable-length integers."""

from __future__ import annotations

import functools


@functools.lru_cache(maxsize=65_536)
def varint(number: int) -> bytes:
    """Encodes a whole number; a negative one as its 64-bit two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Decodes the unsigned number that starts there; returns it and where it ends.

    Raises:
        ValueError: it is longer than 64 bits.
        IndexError: the bytes end before it does.
    """
    shift = result = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
        if shift > 63:
            raise ValueError("varint longer than 64 bits")


def signed(number: int) -> int:
    """Converts a 64-bit number in two's complement to a signed one."""
    return number - (1 << 64) if number >> 63 else number
