#!/usr/bin/env bash
# Works on the Collector's modules:
#
#   scripts/collector.sh generate | build
#
# generate writes what metadata.yaml of the components and builder.yaml of the distribution
# stand for; with CHECK=1 it fails if that changes a file. build makes bin/keyless-collector.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

generate() {
	scripts/parts.sh collector-tools
	PATH=$root/.tools/bin:$PATH go -C collector generate ./...
	go -C collector mod tidy
	distribution
}

# distribution: the builder writes a main of its own as well, which is not ours.
distribution() {
	local kept failed=0
	kept=$(mktemp)
	cp collector/distribution/main.go "$kept"
	(cd collector/distribution && "$root/.tools/bin/builder" --config builder.yaml --skip-compilation --skip-strict-versioning) || failed=1
	cp "$kept" collector/distribution/main.go
	rm -f "$kept" collector/distribution/main_{others,windows}.go
	((failed == 0)) || return 1
	go -C collector/distribution mod edit -toolchain=go1.26.8
	go -C collector/distribution mod tidy
	gofmt -w collector/distribution/components.go
}

build() {
	CGO_ENABLED=0 go -C collector/distribution build -trimpath -ldflags '-s -w' -o "$(realpath -m "${OUT:-bin/keyless-collector}")" .
}

case ${1:-} in
generate)
	generate
	if [[ -n ${CHECK:-} ]]; then git diff --exit-code -- collector; fi
	;;
build) build ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
