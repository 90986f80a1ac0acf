#!/usr/bin/env bash
# Source this: afterwards python3 and fairseq-* are those of a suitable environment, and PYTHONPATH starts with this clone.
#   EXTRAS="demo nllb"; source recipes/environment.sh     extras of pyproject.toml that the caller needs as well (default: none)
# An active environment that fits is used as it is; else .venv in the repository root is made, completed or taken.

environment_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
environment_log=$environment_root/.venv/setup.log

# Prints the requirements of pyproject.toml that the active python3 does not meet; imports neither torch nor fairseq.
lacking_requirements() {
  python3 - "$environment_root/pyproject.toml" "$@" <<'PY'
import sys

if not (3, 11) <= sys.version_info[:2] < (3, 13):
    sys.exit(print("python>=3.11,<3.13"))
import tomllib
from importlib.metadata import PackageNotFoundError, version

with open(sys.argv[1], "rb") as file:
    declared = tomllib.load(file)
requirements, extras = declared["project"]["dependencies"], declared["project"]["optional-dependencies"]
from_source = declared["tool"]["speechllm_plugin"]["built-from-source"]
try:
    from packaging.requirements import Requirement
except ModuleNotFoundError:
    sys.exit(print("packaging"))
for text in requirements + from_source + [text for extra in sys.argv[2:] for text in extras[extra]]:
    requirement = Requirement(text)
    try:
        if not requirement.specifier.contains(version(requirement.name), prereleases=True):
            print(text)
    except PackageNotFoundError:
        print(text)
PY
}

environment_error() {
  echo "environment: error: $*" >&2
  return 1
}

# Prints the first python on PATH that can make the environment.
base_python() {
  local candidate
  for candidate in python3 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  environment_error "no python3, python3.12 or python3.11 on PATH is Python 3.11 or 3.12 with venv; on Debian: apt-get install python3 python3-venv python3-dev"
}

# environment_step TEXT COMMAND...: the command's output goes to the log; a terminal sees its last line and the seconds tick.
environment_step() {
  local text=$1 start=$SECONDS pid
  shift
  echo "\$ $*" >>"$environment_log"
  printf '%s' "$text"
  "$@" >>"$environment_log" 2>&1 &
  pid=$!
  while [[ -t 1 ]] && kill -0 "$pid" 2>/dev/null; do
    printf '\r\033[K%s  %d s  %.60s' "$text" $((SECONDS - start)) "$(tail -n 1 "$environment_log" | tr -d '\r')"
    sleep 1
  done
  if ! wait "$pid"; then
    printf '\n'
    tail -n 20 "$environment_log" >&2
    environment_error "this step failed: $* (log: $environment_log); run the same command again to go on from here"
    return 1
  fi
  [[ ! -t 1 ]] || printf '\r\033[K%s' "$text"
  printf '  (%d s)\n' $((SECONDS - start))
}

# Compiles fairseq with the torch that is installed. Most of the time goes into extensions that speech never loads: without debug
# information and optimisation (the loaded ones ask for -O3 themselves) they take half as long, without CUDA_HOME there are fewer of them.
install_fairseq() {
  env -u CUDA_HOME CFLAGS="${CFLAGS:-} -g0" "${pip[@]}" --no-build-isolation --no-deps fairseq-fixed
}

# set_up_environment LACKING: makes, completes or takes .venv. The stamp is written last and names what it was made for, so that a change or an interruption is noticed.
set_up_environment() {
  local lacking=$1 venv=$environment_root/.venv stamp base pip=(python3 -m pip install -c "$environment_root/constraints.txt")
  stamp="$environment_root $(cat "$environment_root/constraints.txt" "$environment_root/pyproject.toml" | cksum)"
  if [[ $(cat "$venv/complete" 2>/dev/null) == "$stamp" ]] && "$venv/bin/python3" -c '' 2>/dev/null; then
    source "$venv/bin/activate"
    return
  fi
  base=$(base_python) || return 1
  command -v g++ >/dev/null || environment_error "fairseq has no wheels and g++ is missing; on Debian: apt-get install g++" || return 1
  [[ -f $("$base" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h ]] \
    || environment_error "fairseq has no wheels and the headers of $base are missing; on Debian: apt-get install python3-dev" || return 1

  echo "No suitable Python environment is active (the first thing missing: ${lacking%%$'\n'*}): setting up $venv once."
  echo "That takes minutes, most of them to download torch and to compile fairseq; an interrupted set-up goes on at the next start."
  if [[ $(cat "$venv/root" 2>/dev/null) != "$environment_root" ]] || ! "$venv/bin/python3" -c '' 2>/dev/null; then
    rm -rf "$venv"  # commands in a virtual environment do not survive a move
  fi
  mkdir -p "$venv"
  environment_step "[1/4] virtual environment with $("$base" --version)" "$base" -m venv "$venv" || return 1
  echo "$environment_root" >"$venv/root"
  source "$venv/bin/activate"
  environment_step "[2/4] torch and what compiles fairseq" "${pip[@]}" torch numpy cython setuptools wheel || return 1
  environment_step "[3/4] fairseq, compiled here" install_fairseq || return 1
  environment_step "[4/4] speechllm_plugin, its requirements, its extras" \
    "${pip[@]}" --no-build-isolation -e "${environment_root}[bench,demo,nllb,report,slurm,test]" || return 1
  echo "$stamp" >"$venv/complete"
}

# shellcheck disable=SC2086  # one word per extra
environment_lacks=$(lacking_requirements ${EXTRAS:-} 2>&1) || true
if [[ -n $environment_lacks ]]; then
  set_up_environment "$environment_lacks" || return 1
fi
export PYTHONPATH=$environment_root${PYTHONPATH:+:$PYTHONPATH}

# The command of this clone, also in an environment where it is not installed.
speechllm() {
  python3 -m speechllm_plugin.commands.cli "$@"
}
