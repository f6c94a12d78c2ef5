#!/usr/bin/env bash
# Prepares a bare Debian machine and runs the whole suite on it. Runs as the
# vagrant user; its argument is the folder that holds the repository.
set -euo pipefail
cd "${1:?the folder of the repository is missing}"

sudo=""
[ "$(id -u)" -eq 0 ] || sudo=sudo

# A box that has just booted may still hold the lock for its own upgrades.
$sudo apt-get -o DPkg::Lock::Timeout=300 -q update
$sudo env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 -q install -y --no-install-recommends \
    ca-certificates curl gcc libc6-dev

if [ ! -x "$HOME/.cargo/bin/cargo" ]; then
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --profile minimal --component rustfmt --component clippy
fi
# rustup changes the profile, which this shell read before.
export PATH="$HOME/.cargo/bin:$PATH"

scripts/install-redis
scripts/test
