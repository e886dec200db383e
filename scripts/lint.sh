#!/usr/bin/env bash
# Every static check. `lint.sh fmt` formats instead.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
readonly modules=(. examples interop interop/conditions bench collector collector/distribution)

lint() { (cd "$1" && "$root/.tools/bin/golangci-lint" "${@:2}" --config "$root/.golangci.yml" ./...); }

scripts/parts.sh linters

if [[ ${1:-} == fmt ]]; then
	for module in "${modules[@]}"; do lint "$module" fmt; done
	exit
fi

status=0
.tools/bin/golangci-lint config verify --config .golangci.yml || status=1
for module in "${modules[@]}"; do
	echo "lint: module $module"
	lint "$module" run || status=1
	go -C "$module" mod verify >/dev/null || status=1
	go -C "$module" mod tidy -diff || status=1
done
scripts/floorplan_test.sh || status=1
if [[ -x .tools/bin/shellcheck ]]; then
	.tools/bin/shellcheck scripts/*.sh setup/testdata/render/*/commands/*.sh bench/contestants/bash/*.sh .ci/run || status=1
fi
exit "$status"
