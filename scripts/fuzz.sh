#!/usr/bin/env bash
# Runs every fuzz target for FUZZTIME (30s), one after another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

targets() { # prints "module package target" lines
	local file module
	git ls-files --cached --others --exclude-standard '*_test.go' | grep -vE '^(examples|interop|bench|tools)/' |
		while read -r file; do
			module=.
			[[ $file == collector/* ]] && module=collector
			sed -nE "s|^func (Fuzz[A-Za-z0-9_]*)\(.*|$module ./$(dirname "${file#collector/}") \1|p" "$file"
		done | sort -u
}

# fuzz MODULE PACKAGE TARGET: a worker that is still busy when the time is up makes go test
# fail with nothing but the deadline; that is no finding, and the
# target is run again.
fuzz() {
	local log
	log=$(mktemp)
	for _ in 1 2 3; do
		if go -C "$1" test -run '^$' -fuzz "^$3\$" -fuzztime "${FUZZTIME:-30s}" "$2" 2>&1 | tee "$log"; then
			rm "$log"
			return
		fi
		grep -q '^    context deadline exceeded$' "$log" || break
		if grep -q 'Failing input' "$log"; then break; fi
		echo "fuzz: $3: only the deadline; once more" >&2
	done
	rm "$log"
	return 1
}

count=0
while read -r module package target; do
	printf '== %s %s\n' "$package" "$target"
	fuzz "$module" "$package" "$target"
	count=$((count + 1))
done < <(targets)
echo "$count fuzz targets, ${FUZZTIME:-30s} each: no finding"
