#!/usr/bin/env bash
# Runs every fuzz target of the root module for FUZZTIME (30s), one after another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets() { # prints "package target" lines
	local file
	git ls-files --cached --others --exclude-standard '*_test.go' | grep -vE '^(interop|bench|tools)/' |
		while read -r file; do
			sed -nE "s|^func (Fuzz[A-Za-z0-9_]*)\(.*|./$(dirname "$file") \1|p" "$file"
		done | sort -u
}

count=0
while read -r package target; do
	printf '== %s %s\n' "$package" "$target"
	go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" "$package"
	count=$((count + 1))
done < <(targets)
echo "$count fuzz targets, ${FUZZTIME:-30s} each: no finding"
