#!/usr/bin/env bash
# Builds the contestants, then measures:
#
#   scripts/bench.sh all        every scenario, into bench/RESULTS.md
#   scripts/bench.sh start …    the named scenarios, to the terminal only
#   scripts/bench.sh smoke      each scenario as briefly as possible: does it still run?
#
# With CHECK=1 a missed goal is a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
bin=$root/bench/out/bin

build() { # DIR PACKAGE…: static and stripped, all contestants alike
	(cd "$1" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$bin/" "${@:2}")
}

flags=(-bin "$bin" -venv "$root/.tools/venv")
[[ ${CHECK:-} == 1 ]] && flags+=(-strict)

case ${1:-all} in
all) flags+=(-report "$root/bench/RESULTS.md") && set -- start cold callers crowd cache sources daemon proxy collector bill fleet ;;
smoke) flags+=(-scale 0.01 -benchtime 1ms) && set -- start cold callers crowd cache sources daemon proxy collector bill fleet ;;
esac

mkdir -p "$bin"
scripts/parts.sh interop bench
export PATH=$PATH:/usr/sbin # where Debian has nginx
build . ./cmd/keyless
build bench ./contestants/... ./harness
OUT=$bin/keyless-collector scripts/collector.sh build
install -m 755 bench/contestants/bash/credentials.sh "$bin/credentials.sh"

# A mount namespace of its own lets the harness make the sandbox's certificate one
# of the system's roots, for https as it is in the field.
own=()
if unshare --user --map-root-user --mount true 2>/dev/null; then
	own=(env OWN_MOUNTS=1 unshare --user --map-root-user --mount)
fi
cd bench
exec "${own[@]}" "$bin/harness" "${flags[@]}" "$@"
