# shellcheck shell=bash disable=SC2034
# Shared by quickstart, test, sanitize and fuzz, which source it: installs what is missing, counts the jobs that fit in memory.

# Packages of Debian and Ubuntu: what building the program needs, what the tests and benchmarks need beside it, and what
# the fuzzers need. Tests that need doxygen, lintian, fish or zsh are skipped where these are not installed: they are
# large, and what they test changes rarely. Clang is for its sanitizers, and clang-format for the test of the format.
program_packages=(g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev libstb-dev libcli11-dev)
test_packages=(libgtest-dev libbenchmark-dev python3 pkg-config dpkg-dev file man-db clang libclang-rt-dev clang-format)
fuzz_packages=(clang libclang-rt-dev cmake ninja-build libeigen3-dev libstb-dev)

say() { printf '\n==> %s\n' "$*" >&2; }

# A package counts as installed too if its command is there from another source.
is_installed() {
  local command=$1
  [[ $1 == ninja-build ]] && command=ninja
  command -v "$command" > /dev/null && return
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2> /dev/null) == installed ]]
}

# Installs those of the named packages that are missing; touches neither apt nor the network if none is.
install_missing() {
  if ! command -v apt-get > /dev/null; then
    say "No apt-get here: please see to it that these, or what your system calls them, are installed: $*"
    return
  fi
  local package missing=()
  for package; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0

  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo > /dev/null; then
      say "Not installed: ${missing[*]}. Please run, as root: apt-get install ${missing[*]}"
      return 1
    fi
    as_root=(sudo)
  fi
  say "Installing with apt: ${missing[*]}"
  "${as_root[@]}" apt-get update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
}

# One job for each processor, but not more than memory allows at 2 GB for a compiler.
job_count() {
  local jobs gigabytes
  jobs=$(nproc)
  gigabytes=$(awk '/^MemAvailable:/ { print int($2 / 1024 / 1024) }' /proc/meminfo 2> /dev/null || true)
  if [[ -n $gigabytes ]] && ((gigabytes / 2 < jobs)); then jobs=$((gigabytes / 2)); fi
  echo $((jobs > 0 ? jobs : 1))
}
