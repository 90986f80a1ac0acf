"""Digests keep the values that stand in data folders, caches and reports."""

import hashlib

from speechllm_plugin.files.digests import digest, file_digest, short_digest, short_file_digest

PARTS = ["wört\t", b"\xff\x00", "", "end"]
CONTENT = "wört\t".encode() + b"\xff\x00" + b"end"


def test_digests_are_those_of_the_joined_parts():
    assert digest(PARTS) == digest(iter(PARTS)) == hashlib.sha256(CONTENT).hexdigest()
    assert short_digest(PARTS) == hashlib.blake2b(CONTENT, digest_size=8).hexdigest()


def test_a_file_has_the_digest_of_its_content(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    assert file_digest(tmp_path / "file") == digest([CONTENT])
    assert short_file_digest(tmp_path / "file") == short_digest([CONTENT])


def test_stored_digests_keep_their_values():
    assert digest(["a"]) == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert short_digest(["a"]) == "40f89e395b66422f"
