"""Commands as bytes, in one write or several."""

import pytest

from invokeq.protocol.redis.resp import Command, pack_commands, pack_writes

COMMANDS: list[Command] = [("SET", f"key{n}", b"x" * (n * 997 % 5000)) for n in range(50)]


@pytest.mark.parametrize(("size", "writes"), [(1, 50), (20_000, 7), (10_000_000, 1)])
def test_a_large_batch_is_several_writes(size: int, writes: int) -> None:
    packed = pack_writes(COMMANDS, size)
    assert b"".join(packed) == pack_commands(COMMANDS)
    assert len(packed) == writes
    assert all(len(write) >= size for write in packed[:-1])
