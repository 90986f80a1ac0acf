#!/usr/bin/env bash
# Download and unpack the stamps of Tux Paint (GPL-2) from Debian: spoken phrases in nine languages; 161 MB, 218 MB on disk.
#
#   bash recipes/tuxpaint/get.sh [DIR]       below DIR [corpora/tuxpaint]; a second run goes on where the first ended
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/debian_packages.sh"
fetch_packages "${1:-corpora/tuxpaint}" \
  tuxpaint-stamps-default=2022.06.04-1 6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34
