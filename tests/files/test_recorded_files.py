"""A file that was cut, extended or changed in one bit is told from the one that was finished."""

import zlib

import pytest

from speechllm_plugin.files import recorded_files


@pytest.mark.parametrize(
    ("changed", "what", "size_tells"),
    [
        (lambda content: content, "", True),
        (lambda content: content[:-1], "has 2,999,999 bytes, but had 3,000,000 when it was finished", True),
        (lambda content: content + b"x", "has 3,000,001 bytes, but had 3,000,000 when it was finished", True),
        (lambda content: content[:1_500_000] + b"\x01" + content[1_500_001:], "is not what was written: its checksum is another", False),
    ],
)
def test_changes_are_told(tmp_path, changed, what, size_tells):
    path = tmp_path / "file"
    path.write_bytes(bytes(3_000_000))
    recorded = recorded_files.record(path)
    assert recorded == {"bytes": 3_000_000, "crc32": f"{zlib.crc32(bytes(3_000_000)):08x}"}
    path.write_bytes(changed(bytes(3_000_000)))
    assert recorded_files.change(path, recorded) == what
    assert recorded_files.size_change(path, recorded) == (what if size_tells else "")
