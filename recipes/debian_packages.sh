#!/usr/bin/env bash
# Source this.
#   fetch_packages DIR NAME=VERSION SHA256 [NAME=VERSION SHA256]...    the contents of Debian packages below DIR, as of /
# Needs apt-get and dpkg-deb, with a source of packages in /etc/apt, and no root: lists and packages stay in DIR/.apt until all is unpacked.
# A package that was unpacked before is skipped; one whose sum differs is not unpacked.

fetch_packages() {
  local dir=$1 apt package name version sum file command
  for command in apt-get dpkg-deb sha256sum; do
    command -v "$command" >/dev/null || { get_error "$command is not there: run this where Debian's or Ubuntu's tools are, and copy $dir from there"; return 1; }
  done
  shift
  mkdir -p "$dir/.apt/lists/partial" && apt=$(cd "$dir/.apt" && pwd) || return 1
  while (($#)); do
    package=$1 sum=$2 name=${1%%=*} version=${1#*=} file=$apt/${1%%=*}.deb
    shift 2
    if [[ -f $dir/.$name.done && $(<"$dir/.$name.done") == "$version $sum" ]]; then
      echo "$package  (done before)"
      continue
    fi
    has_sum "$sum" "$file" || { rm -f "$file" && download "$apt" "$package" "$file" || return 1; }
    has_sum "$sum" "$file" || { get_error "$package: the SHA-256 sum must be $sum, but is $(sha256sum <"$file" | cut -d' ' -f1); nothing of it was unpacked"; return 1; }
    dpkg-deb -x "$file" "$dir" || { get_error "$package: not unpacked (above); the same command goes on from here"; return 1; }
    echo "$version $sum" >"$dir/.$name.done"
    echo "$package  unpacked below $dir"
  done
  rm -rf "$apt"
}

# download APT PACKAGE FILE: with the machine's lists, or with lists of our own where these do not know the package.
download() {
  local apt=$1 package=$2 file=$3 own=(-o "Dir::State::lists=$1/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "APT::Sandbox::User=")
  rm -rf "$apt/new" && mkdir "$apt/new"
  echo "$package  is downloaded"
  if ! (cd "$apt/new" && apt-get -qq download "$package" 2>"$apt/log"); then
    # What was not found may be behind a list that is old or was never fetched.
    apt-get -qq "${own[@]}" update >>"$apt/log" 2>&1 || { cat "$apt/log" >&2 && get_error "$package: apt-get has no lists of packages (above)"; return 1; }
    (cd "$apt/new" && apt-get -qq "${own[@]}" download "$package" 2>>"$apt/log") || {
      cat "$apt/log" >&2
      get_error "$package: apt-get cannot download it (above); the network may be away, or the sources in /etc/apt may have another version"
      return 1
    }
  fi
  mv "$apt"/new/*.deb "$file"
}

has_sum() {  # SUM FILE
  [[ -f $2 ]] && sha256sum --check --status <<<"$1  $2"
}

get_error() {
  echo "get.sh: error: $*" >&2
}
