"""The system-call filter, run instruction by instruction by an interpreter of its own."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numina_infer.sandbox.child import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
PID, CONTROL = 4711, 1024
X86_64, I386 = 0xC000003E, 0x40000003
BY_ARGUMENT = {
    seccomp.OPEN,
    seccomp.OPENAT,
    seccomp.IOCTL,
    seccomp.CLONE,
    seccomp.KILL,
    seccomp.TGKILL,
    seccomp.FCNTL,
    seccomp.PRCTL,
    seccomp.PRLIMIT64,
}
numbers = st.one_of(st.integers(0, 600), st.integers(0, 2**32 - 1))
words = st.lists(st.one_of(st.integers(0, 4096), st.integers(0, 2**64 - 1)), min_size=6, max_size=6)


@pytest.fixture(scope="module")
def code() -> dict[int | None, list[tuple[int, int, int, int]]]:
    """The filter's instructions, for a program and for a session."""
    return {control: assembled(control) for control in (None, CONTROL)}


def assembled(control: int | None) -> list[tuple[int, int, int, int]]:
    """The instructions; skipped where the filter isn't for this machine."""
    try:
        packed = seccomp.Filter().assemble(PID, control)
    except OSError as error:
        pytest.skip(str(error))
    return list(struct.iter_unpack("=HBBI", packed))


def verdict(
    code: list[tuple[int, int, int, int]], number: int, arguments: list[int] | None = None, arch: int = X86_64
) -> int:
    """The kernel's answer, by the rules of classic BPF."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *(arguments or [0] * 6))
    place = register = 0
    while True:
        kind, if_true, if_false, operand = code[place]
        place += 1
        match kind:
            case 0x06:
                return operand
            case 0x20:
                (register,) = struct.unpack_from("=I", data, operand)
            case 0x54:
                register &= operand
            case 0x15:
                place += if_true if register == operand else if_false
            case 0x35:
                place += if_true if register >= operand else if_false
            case _:
                raise AssertionError(kind)


Code = dict[int | None, list[tuple[int, int, int, int]]]


@given(number=numbers, arguments=words)
def test_only_what_is_listed_is_allowed(code: Code, number: int, arguments: list[int]) -> None:
    """With any arguments; calls that depend on their arguments may go either way."""
    listed = set(seccomp.ALLOWED.values()) | BY_ARGUMENT
    if verdict(code[None], number, arguments) == ALLOW:
        assert number in listed
    elif number in seccomp.ALLOWED.values():
        raise AssertionError(number)


@given(number=numbers, arguments=words)
def test_no_call_comes_through_the_32_bit_door(code: Code, number: int, arguments: list[int]) -> None:
    """There the numbers mean other calls."""
    assert verdict(code[CONTROL], number, arguments, I386) == KILL


@given(flags=st.integers(0, 2**32 - 1))
def test_files_are_opened_for_reading_only(code: Code, flags: int) -> None:
    """Every flag by which a file is written, made or cut looks like a read-only disk."""
    writes = flags & 0o3 or flags & 0o100 or flags & 0o1000 or flags & 0o20000000
    expected = 0x50000 | errno.EROFS if writes else ALLOW
    assert verdict(code[None], seccomp.OPENAT, [0, 0, flags, 0, 0, 0]) == expected
    assert verdict(code[None], seccomp.OPEN, [0, flags, 0, 0, 0, 0]) == expected


@pytest.mark.parametrize(
    ("number", "arguments", "is_allowed"),
    [
        (seccomp.KILL, [PID, 9], True),
        (seccomp.KILL, [2**32 - 1, 9], False),
        (seccomp.KILL, [0, 9], False),
        (seccomp.TGKILL, [PID, PID, 6], True),
        (seccomp.TGKILL, [1, 1, 6], False),
        (seccomp.PRLIMIT64, [0, 7], True),
        (seccomp.PRLIMIT64, [1, 7], False),
        (seccomp.CLONE, [0x3D0F00], True),
        (seccomp.CLONE, [17], False),
        (seccomp.CLONE, [0x3D0F00 | 0x10000000], False),
        (seccomp.FCNTL, [3, 8], False),
        (seccomp.PRCTL, [1], False),
        (seccomp.SENDTO, [CONTROL], False),
        (seccomp.RECVMSG, [CONTROL], False),
    ],
)
def test_arguments_decide(code: Code, number: int, arguments: list[int], is_allowed: bool) -> None:
    """Signals to itself, threads without namespaces, its own limits, no ownership of signals."""
    padded = arguments + [0] * (6 - len(arguments))
    assert (verdict(code[None], number, padded) == ALLOW) is is_allowed


@given(fd=st.integers(0, 2**31 - 1))
def test_a_session_talks_over_its_own_socket_only(code: Code, fd: int) -> None:
    """By number; and it neither opens nor accepts any."""
    for number in (seccomp.SENDTO, seccomp.RECVMSG):
        assert (verdict(code[CONTROL], number, [fd, 0, 0, 0, 0, 0]) == ALLOW) is (fd == CONTROL)
