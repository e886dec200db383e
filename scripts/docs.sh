#!/usr/bin/env bash
# Regenerates what go generate makes (command reference, man pages, schema).
# With CHECK=1 it fails if that changes, adds or removes a file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fingerprint() {
	git ls-files --cached --others --exclude-standard -z |
		xargs -0 sha256sum 2>/dev/null | sort -k2 || true
}

before=$(mktemp)
trap 'rm -f "$before"' EXIT
fingerprint >"$before"
go generate ./...

if [[ ${CHECK:-} == 1 ]] && ! fingerprint | diff "$before" - >/dev/null; then
	echo "docs: generated files are stale; run 'make docs' and commit:" >&2
	fingerprint | diff "$before" - | sed -nE 's/^[<>] [0-9a-f]+  /  /p' | sort -u >&2
	exit 1
fi
