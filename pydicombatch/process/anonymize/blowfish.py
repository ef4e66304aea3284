"""Blowfish in ECB mode with PKCS5 padding, for `@encrypt` and `@decrypt` alone.

B. Schneier, "Description of a New Variable-Length Key, 64-Bit Block Cipher", 1993. Its tables are
the fraction of pi, which is computed here. It is what the Java tool uses; nothing else should.
"""

from functools import cache
from typing import Final

_ROUNDS: Final = 16
_WORDS: Final = _ROUNDS + 2 + 4 * 256
_MASK: Final = 0xFFFFFFFF
_BLOCK: Final = 8  # bytes


class PaddingError(ValueError):
    """The ciphertext was not made with this key."""


@cache
def _fraction_of_pi() -> tuple[int, ...]:
    """Return the first words of the fraction, by Machin's formula with guard bits."""
    bits, guard = 32 * _WORDS, 64
    one = 1 << (bits + guard)
    pi = 4 * (4 * _arctan(5, one) - _arctan(239, one))
    fraction = (pi - 3 * one) >> guard
    return tuple(fraction >> (bits - 32 * (i + 1)) & _MASK for i in range(_WORDS))


def _arctan(inverse: int, one: int) -> int:
    term = total = one // inverse
    square, divisor, sign = inverse * inverse, 1, 1
    while term:
        term //= square
        divisor += 2
        sign = -sign
        total += sign * (term // divisor)
    return total


class Blowfish:
    """A key schedule, and the two directions."""

    def __init__(self, key: bytes) -> None:
        words = list(_fraction_of_pi())
        cycle = (key * (4 * (_ROUNDS + 2) // len(key) + 1))[: 4 * (_ROUNDS + 2)]
        self._p = [
            words[i] ^ int.from_bytes(cycle[4 * i : 4 * i + 4], "big") for i in range(_ROUNDS + 2)
        ]
        self._s = words[_ROUNDS + 2 :]
        left = right = 0
        for table in (self._p, self._s):
            for index in range(0, len(table), 2):
                left, right = self._block(left, right, self._p)
                table[index], table[index + 1] = left, right

    def _block(self, left: int, right: int, keys: list[int]) -> tuple[int, int]:
        s = self._s
        for index in range(_ROUNDS):
            left ^= keys[index]
            mixed = (s[left >> 24] + s[256 + (left >> 16 & 255)] & _MASK) ^ s[
                512 + (left >> 8 & 255)
            ]
            right ^= mixed + s[768 + (left & 255)] & _MASK
            left, right = right, left
        return right ^ keys[_ROUNDS + 1], left ^ keys[_ROUNDS]

    def encrypt(self, plain: bytes) -> bytes:
        """Pad and encrypt."""
        count = _BLOCK - len(plain) % _BLOCK
        return self._blocks(plain + bytes([count]) * count, self._p)

    def decrypt(self, packed: bytes) -> bytes:
        """Decrypt and remove the padding; raises `PaddingError`."""
        if not packed or len(packed) % _BLOCK:
            raise PaddingError("not whole blocks")
        plain = self._blocks(packed, self._p[::-1])
        count = plain[-1]
        if not 1 <= count <= _BLOCK or plain[-count:] != bytes([count]) * count:
            raise PaddingError("not the right key")
        return plain[:-count]

    def _blocks(self, data: bytes, keys: list[int]) -> bytes:
        out = bytearray()
        for at in range(0, len(data), _BLOCK):
            left = int.from_bytes(data[at : at + 4], "big")
            right = int.from_bytes(data[at + 4 : at + 8], "big")
            for word in self._block(left, right, keys):
                out += word.to_bytes(4, "big")
        return bytes(out)
