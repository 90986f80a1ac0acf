#!/usr/bin/env bash
# Download and unpack Fish Fillets NG (GPL-2) from Debian: Czech and Dutch recordings, texts in eleven languages; 142 MB, 160 MB on disk.
#
#   bash recipes/fillets/get.sh [DIR]       below DIR [corpora/fillets]; a second run goes on where the first ended
set -euo pipefail
recipes=$(cd "$(dirname "$0")/.." && pwd)
source "$recipes/help.sh"
source "$recipes/debian_packages.sh"
fetch_packages "${1:-corpora/fillets}" \
  fillets-ng-data=1.0.1-1.1 25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84 \
  fillets-ng-data-cs=1.0.1-1.1 3ecef99b9456f1c80c9625c6f2418642b52d58e7167a46bad7a412db17991b14 \
  fillets-ng-data-nl=1.0.1-1.1 afb4443fda9ab507dee578b75be857d121718a1cd6017a474f30e0eb13dc9d10
