"""Classic BPF, interpreted as the kernel does it: so much as seccomp programs may use.  An oracle for `linux.bpf`.

Written from the kernel's Documentation/networking/filter.rst and include/uapi/linux/{filter,bpf_common}.h alone; it
shares no constant with what it judges.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

LD, ALU, JMP, RET = 0x00, 0x04, 0x05, 0x06
COMPARE = {0x10: lambda a, k: a == k, 0x20: lambda a, k: a > k, 0x30: lambda a, k: a >= k, 0x40: lambda a, k: a & k}


def verdict(program: bytes, number: int, arch: int, arguments: Sequence[int] = ()) -> int:
    """What the program returns for this system call.

    Raises `AssertionError` for an instruction that the kernel would not take, or when it runs off its end.
    """
    six = [*arguments, *[0] * 6][:6]
    data = struct.pack("<iIQ6Q", number if number < 2**31 else number - 2**32, arch, 0, *six)
    instructions = list(struct.iter_unpack("<HBBI", program))
    accumulator = at = 0
    while True:
        code, jump_true, jump_false, operand = instructions[at]
        at += 1
        kind = code & 0x07
        if kind == RET:
            assert code == 0x06
            return operand
        if kind == LD:
            assert code == 0x20
            assert operand % 4 == 0
            assert operand <= 60
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif kind == ALU:
            assert code == 0x54
            accumulator &= operand
        else:
            assert kind == JMP
            assert code & 0x08 == 0
            at += jump_true if COMPARE[code & 0xF0](accumulator, operand) else jump_false
