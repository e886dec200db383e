#!/usr/bin/env bash
# Runs test suites: unit (the root module, with the race detector), examples (built
# and run against the sandbox), collector (its components, then its program) and interop
# (real programs). What is missing is installed first; what could not be
# installed is named at the end, and fails the run when CI is set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

suite() { # NAME DIR GO-TEST-FLAGS…
	local name=$1 dir=$2
	shift 2
	(cd "$dir" && "$root/.tools/bin/gotestsum" --format pkgname-and-test-fails \
		--format-hide-empty-pkg --jsonfile "$root/.tools/results/$name.json" -- "$@" ./...)
}

mkdir -p .tools/results
rm -f .tools/results/*.json .tools/missing
scripts/parts.sh gotestsum

status=0
for word in "$@"; do
	case $word in
	unit) suite unit . -race -shuffle=on || status=1 ;;
	examples) suite examples examples -count=1 || status=1 ;;
	collector)
		scripts/parts.sh collector || status=1
		scripts/collector.sh build || status=1
		export COLLECTOR_PROGRAM=$root/bin/keyless-collector
		suite collector collector -count=1 || status=1
		suite distribution collector/distribution -count=1 -timeout=40m || status=1
		;;
	slow) # what the suites after it are to run as well
		scripts/parts.sh slow || status=1
		mkdir -p out/artifacts
		export INTEROP_SLOW=1 KEYLESS_ARTIFACTS=$root/out/artifacts # CI keeps what is there
		;;
	interop)
		scripts/parts.sh interop || status=1
		if [[ -z ${COLLECTOR_PROGRAM:-} ]]; then
			scripts/collector.sh build || status=1
			export COLLECTOR_PROGRAM=$root/bin/keyless-collector
		fi
		suite interop interop -count=1 -timeout=40m || status=1
		suite conditions interop/conditions -count=1 || status=1
		;;
	*) echo "test.sh: no suite $word" >&2 && exit 2 ;;
	esac
done

scripts/count.sh
if [[ -s .tools/missing ]]; then
	sed 's/^/skipped: /' .tools/missing
fi
exit "$status"
