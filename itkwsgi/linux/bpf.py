"""From a policy to the program the kernel runs at each system call: classic BPF.  Server only.

A policy is data: rules, each with calls, checks of their arguments, and verdicts.  The program asks first for the
machine (another set of numbers is another language: the process is killed), then for the number, one call after the
other.  That looks slow and is not: for calls whose verdict depends on the number alone the kernel keeps a bitmap of
those allowed (Linux 5.11) and runs nothing.

Arguments are compared by their low 32 bits.  All that is checked here is so wide to the kernel too (ids, families,
commands, process ids), or are flags of which it ignores or refuses the upper half; whoever adds a check has to look.
Sources: seccomp(2), include/uapi/linux/{filter,bpf_common,seccomp}.h, kernel/seccomp.c.
"""

from __future__ import annotations

import struct
from errno import ENOSYS, EPERM
from typing import TYPE_CHECKING, NamedTuple

from itkwsgi.errors import Bug
from itkwsgi.linux.syscalls import NEWEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from itkwsgi.linux.syscalls import Machine

# Verdicts, SECCOMP_RET_*; the call fails with an errno in the low bits.
KILL = 0x80000000  # the whole process
ALLOW = 0x7FFF0000
DENIED = 0x00050000 | EPERM
MISSING = 0x00050000 | ENOSYS

# Instructions: class | size or operation | mode or source.
LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS, of struct seccomp_data
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K, and the next two likewise
GREATER = 0x25
NOT_LESS = 0x35
RETURN = 0x06  # BPF_RET | BPF_K

INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, operand

# Offsets in struct seccomp_data.
NUMBER = 0
ARCHITECTURE = 4
ARGUMENTS = 16  # six of eight bytes; little-endian, so the low half stands first

MOST_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_FARTHEST = 255  # a conditional jump, in instructions
_HIGHEST = 2**32 - 1

Instruction = tuple[int, int, int, int]


class Within(NamedTuple):
    """An argument lies in one of the ranges, both ends included."""

    argument: int
    ranges: tuple[tuple[int, int], ...]


class Bits(NamedTuple):
    """An argument's bits under the mask are these."""

    argument: int
    mask: int
    value: int


class Rule(NamedTuple):
    """These calls get ``verdict`` if all checks hold; if not, they are denied."""

    calls: tuple[str, ...]
    verdict: int
    checks: tuple[Within | Bits, ...] = ()


def allow(*calls: str) -> Rule:
    """Whatever their arguments."""
    return Rule(calls, ALLOW)


def deny(*calls: str, verdict: int = DENIED) -> Rule:
    """Whatever their arguments."""
    return Rule(calls, verdict)


def allow_if(calls: tuple[str, ...], *checks: Within | Bits) -> Rule:
    """Denied otherwise."""
    return Rule(calls, ALLOW, checks)


def equals(argument: int, *values: int) -> Within:
    """An argument is one of these values."""
    return Within(argument, tuple((value, value) for value in values))


class Policy(NamedTuple):
    """Each call has one rule at most; ``default`` is for the others.

    ``unknown``: for numbers above all we know; None: they are as any other.
    """

    machine: Machine
    rules: tuple[Rule, ...]
    default: int
    unknown: int | None = None


def assemble(policy: Policy) -> bytes:
    """The program, for `seccomp.install`.

    Raises `Bug` for a call with two rules or in no table, `ValueError` for checks that cannot be expressed.
    """
    numbers = policy.machine.numbers()
    program = [*_head(policy)]
    seen: set[str] = set()
    for rule in policy.rules:
        if strange := [call for call in rule.calls if call in seen or call not in numbers]:
            raise Bug(f"{', '.join(strange)}: in no table of system calls, or in two rules")
        seen.update(rule.calls)
        here = [number for call in rule.calls if (number := numbers[call]) is not None]
        program += _rule(rule, here)
    program.append((RETURN, 0, 0, policy.default))
    if len(program) > MOST_INSTRUCTIONS:
        raise ValueError(f"{len(program)} instructions are too many for a filter")
    return b"".join(INSTRUCTION.pack(*instruction) for instruction in program)


def _head(policy: Policy) -> Iterator[Instruction]:
    """The right machine, its main set of calls, and no number from the future; leaves the number loaded."""
    yield (LOAD, 0, 0, ARCHITECTURE)
    yield (EQUAL, 1, 0, policy.machine.audit)
    yield (RETURN, 0, 0, KILL)
    yield (LOAD, 0, 0, NUMBER)
    if policy.machine.second_set is not None:
        yield (NOT_LESS, 0, 1, policy.machine.second_set)
        yield (RETURN, 0, 0, MISSING)
    if policy.unknown is not None:
        yield (GREATER, 0, 1, NEWEST)
        yield (RETURN, 0, 0, policy.unknown)


def _rule(rule: Rule, numbers: list[int]) -> Iterator[Instruction]:
    """The verdict for these numbers; for any other go on behind it, the number still loaded."""
    verdict = [*_checks(rule), (RETURN, 0, 0, rule.verdict)]
    if len(verdict) > _FARTHEST:
        raise ValueError(f"{len(verdict)} instructions for {', '.join(rule.calls)} are too many to jump over")
    for number in numbers:
        yield (EQUAL, 0, len(verdict), number)
        yield from verdict


def _checks(rule: Rule) -> Iterator[Instruction]:
    """One after the other; the first that does not hold returns."""
    for check in rule.checks:
        yield (LOAD, 0, 0, ARGUMENTS + 8 * check.argument)
        if isinstance(check, Bits):
            yield (AND, 0, 0, check.mask)
            yield (EQUAL, 1, 0, check.value)
        else:
            yield from _ranges(check.ranges)
        yield (RETURN, 0, 0, DENIED)


def _ranges(ranges: tuple[tuple[int, int], ...]) -> Iterator[Instruction]:
    """Over the next instruction behind it if one of them holds the argument."""
    left = 2 * len(ranges)
    for low, high in ranges:
        if not 0 <= low <= high <= _HIGHEST:
            raise ValueError(f"{low} to {high} is no range of 32 bits")
        left -= 2
        yield (NOT_LESS, 0, 1, low)
        yield (GREATER, 0, left + 1, high)
