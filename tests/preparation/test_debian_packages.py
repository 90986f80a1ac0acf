"""recipes/debian_packages.sh, with an apt-get and a dpkg-deb of the test: sums, resuming, and what it says where it cannot go on."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTENT = b"a package"
SUM = hashlib.sha256(CONTENT).hexdigest()
APT_GET = """#!/bin/bash
echo "$*" >>"$CALLS"
case "$*" in
  *update*) exit "${UPDATE_FAILS:-0}" ;;
  *lists=*download*|*download*) [[ -z $ABSENT ]] || { echo "E: Version not found" >&2; exit 100; }; printf 'a package' >name_1.0_all.deb ;;
esac
"""
DPKG_DEB = """#!/bin/bash
mkdir -p "$3/usr/share/game" && cp "$2" "$3/usr/share/game/content"
"""


@pytest.fixture
def tools(tmp_path):
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def fetch(tmp_path, tools, *packages, **environment):
    script = f'set -euo pipefail; source "{ROOT}/recipes/debian_packages.sh"; fetch_packages "$@"'
    environment = {**os.environ, "PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), **environment}
    arguments = ["bash", "-c", script, "fetch", str(tmp_path / "my corpus"), *packages]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True)


def test_a_package_is_fetched_once(tmp_path, tools):
    for said in ("unpacked below", "(done before)"):
        process = fetch(tmp_path, tools, "name=1.0", SUM)
        assert process.returncode == 0 and said in process.stdout, process.stderr
    assert (tmp_path / "my corpus/usr/share/game/content").read_bytes() == CONTENT
    assert not (tmp_path / "my corpus/.apt").exists()
    assert len((tmp_path / "calls").read_text().splitlines()) == 1
    assert "unpacked below" in fetch(tmp_path, tools, "name=1.1", SUM).stdout


def test_what_was_downloaded_before_a_failure_is_not_downloaded_again(tmp_path, tools):
    first = fetch(tmp_path, tools, "name=1.0", SUM, "other=1.0", "0" * 64)
    assert first.returncode == 1 and f"other=1.0: the SHA-256 sum must be {'0' * 64}, but is {SUM}; nothing of it was unpacked" in first.stderr
    again = fetch(tmp_path, tools, "name=1.0", SUM, "other=1.0", SUM)
    assert again.returncode == 0 and "name=1.0  (done before)" in again.stdout
    assert (tmp_path / "calls").read_text().count("download") == 2


def test_lists_of_its_own_are_fetched_where_the_package_is_not_known(tmp_path, tools):
    process = fetch(tmp_path, tools, "name=1.0", SUM, ABSENT="yes")
    assert process.returncode == 1 and "E: Version not found" in process.stderr
    assert "get.sh: error: name=1.0: apt-get cannot download it (above)" in process.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls] == ["name=1.0", "update", "name=1.0"] and "Dir::State::lists=" in calls[1]
    assert "has no lists of packages" in fetch(tmp_path, tools, "name=1.0", SUM, ABSENT="yes", UPDATE_FAILS="1").stderr


def test_a_machine_without_the_tools_is_told_so(tmp_path, tools):
    (tools / "apt-get").unlink()
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "bash").symlink_to("/bin/bash")
    process = fetch(tmp_path, tools, "name=1.0", SUM, PATH=str(bare))
    assert process.returncode == 1 and "apt-get is not there: run this where Debian's or Ubuntu's tools are" in process.stderr
