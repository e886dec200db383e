#!/usr/bin/env bash
# Adds up the test runs that scripts/test.sh recorded and prints one closing line.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

count() { # ACTION
	local total=0 file found
	for file in .tools/results/*.json; do
		[[ -e $file ]] || continue
		found=$(grep -c "\"Action\":\"$1\".*\"Test\":" "$file" || true)
		total=$((total + found))
	done
	echo "$total"
}

echo "$(count pass) passed, $(count fail) failed, $(count skip) skipped"
