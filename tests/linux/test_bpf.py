"""The assembler: what a program says is what its policy says, by an interpreter that knows nothing of either."""

import struct
from errno import ENOSYS, EPERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import Bug
from itkwsgi.linux.bpf import ALLOW, DENIED, KILL, Bits, Policy, Rule, Within, allow_if, assemble, deny, equals
from itkwsgi.linux.syscalls import MACHINES, NEWEST
from tests.support.bpf_machine import verdict

X86_64 = MACHINES[0]
CALLS = ("read", "open", "clone3", "socket", "setresuid")
WORDS = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 8), st.integers(2**32 - 8, 2**32 + 8), st.integers(2**31 - 8, 2**31 + 8)
)
HALVES = WORDS.map(lambda word: word & 0xFFFFFFFF)
RANGES = st.tuples(HALVES, HALVES).map(lambda pair: (min(pair), max(pair)))
CHECKS = st.one_of(
    st.builds(Within, st.integers(0, 5), st.lists(RANGES, max_size=4).map(tuple)),
    st.builds(lambda at, mask, value: Bits(at, mask, value & mask), st.integers(0, 5), HALVES, HALVES),
)
VERDICTS = st.sampled_from((ALLOW, DENIED, 0x00050000 | ENOSYS))


@st.composite
def policies(draw):
    machine = draw(st.sampled_from(MACHINES))
    rules = tuple(
        Rule((call,), draw(VERDICTS), tuple(draw(st.lists(CHECKS, max_size=3))))
        for call in draw(st.sets(st.sampled_from(CALLS)))
    )
    return Policy(machine, rules, draw(VERDICTS), draw(st.none() | VERDICTS))


def holds(check, arguments):
    value = arguments[check.argument] & 0xFFFFFFFF
    if isinstance(check, Bits):
        return value & check.mask == check.value
    return any(low <= value <= high for low, high in check.ranges)


def expected(policy, number, arch, arguments):
    if arch != policy.machine.audit:
        return 0x80000000
    if policy.machine.name == "x86_64" and number >= 0x40000000:
        return 0x00050000 | ENOSYS
    if policy.unknown is not None and number > NEWEST:
        return policy.unknown
    for rule in policy.rules:
        if policy.machine.numbers()[rule.calls[0]] == number:
            return rule.verdict if all(holds(check, arguments) for check in rule.checks) else 0x00050000 | EPERM
    return policy.default


@given(policy=policies(), data=st.data())
def test_a_program_says_what_its_policy_says(policy, data):
    program = assemble(policy)
    known = [policy.machine.numbers()[call] for call in CALLS]
    number = data.draw(st.sampled_from([n for n in known if n is not None]) | st.integers(0, 500) | HALVES)
    arch = data.draw(
        st.sampled_from([policy.machine.audit] * 8 + [machine.audit for machine in MACHINES] + [0x40000003])
    )
    edges = [
        edge for rule in policy.rules for check in rule.checks if isinstance(check, Within) for edge in check.ranges
    ]
    near = st.sampled_from([end + step for pair in edges for end in pair for step in (-1, 0, 1)] or [0])
    arguments = data.draw(st.lists(WORDS | near.map(lambda edge: edge % 2**64), min_size=6, max_size=6))
    assert verdict(program, number, arch, arguments) == expected(policy, number, arch, arguments)


def test_ends_of_ranges_are_included():
    program = assemble(Policy(X86_64, (allow_if(("read",), Within(2, ((5, 7), (20, 20)))),), ALLOW))
    permitted = [value for value in range(30) if verdict(program, 0, X86_64.audit, (0, 0, value)) == ALLOW]
    assert permitted == [5, 6, 7, 20]


def test_no_range_at_all_is_never_within():
    program = assemble(Policy(X86_64, (allow_if(("read",), Within(0, ())),), ALLOW))
    assert verdict(program, 0, X86_64.audit) == DENIED


def test_the_upper_half_of_an_argument_does_not_count():
    program = assemble(Policy(X86_64, (allow_if(("read",), equals(0, 7)),), ALLOW))
    assert verdict(program, 0, X86_64.audit, (7 | 5 << 32,)) == ALLOW
    assert verdict(program, 0, X86_64.audit, (8 | 7 << 32,)) == DENIED


def test_another_machine_is_killed_before_anything_else():
    program = assemble(Policy(X86_64, (), ALLOW, unknown=DENIED))
    assert {verdict(program, number, 0x40000003) for number in (0, 1, 2**30, 2**32 - 1)} == {KILL}


@pytest.mark.parametrize("call", ["read", "no_such_call"])
def test_a_call_has_one_rule_and_one_table(call):
    with pytest.raises(Bug, match=f"{call}: in no table of system calls, or in two rules"):
        assemble(Policy(X86_64, (deny("read"), deny(call)), ALLOW))


@pytest.mark.parametrize("pair", [(5, 4), (-1, 4), (0, 2**32)])
def test_a_range_that_is_none_is_refused(pair):
    with pytest.raises(ValueError, match="is no range of 32 bits"):
        assemble(Policy(X86_64, (allow_if(("read",), Within(0, (pair,))),), ALLOW))


def test_what_is_too_far_to_jump_over_is_refused():
    many = tuple((2 * at, 2 * at) for at in range(126))
    program = assemble(Policy(X86_64, (allow_if(("read",), Within(0, many)), deny("write")), ALLOW))
    assert [verdict(program, 0, X86_64.audit, (value,)) for value in (0, 1, 250, 251)] == [ALLOW, DENIED, ALLOW, DENIED]
    assert verdict(program, 1, X86_64.audit) == DENIED
    with pytest.raises(ValueError, match="are too many to jump over"):
        assemble(Policy(X86_64, (allow_if(("read",), Within(0, (*many, (900, 901)))),), ALLOW))


def test_a_program_longer_than_the_kernel_takes_is_refused():
    block = Within(0, tuple((2 * at, 2 * at) for at in range(60)))
    calls = [call for call, number in X86_64.numbers().items() if number is not None][:40]
    with pytest.raises(ValueError, match="instructions are too many for a filter"):
        assemble(Policy(X86_64, (allow_if(tuple(calls), block),), ALLOW))


def test_the_interpreter_of_these_tests_sees_a_jump_over_the_end():
    with pytest.raises(IndexError):
        verdict(struct.pack("<HBBI", 0x15, 7, 7, 0), 0, 0)
