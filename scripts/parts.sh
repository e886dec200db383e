#!/usr/bin/env bash
# Installs what the gates need into .tools, each part once:
#
#   scripts/parts.sh gotestsum | linters | interop | collector | collector-tools | slow | kafka | search | bench
#
# A part that cannot be installed is written to .tools/missing as "part: reason".
# With CI set that fails; elsewhere the tests that need the part are skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
readonly minio_version=v0.0.0-20260212201848-7aac2a2c5b7c
mkdir -p .tools/bin .tools/stamps .tools/logs
touch .tools/missing

# One at a time: two runs in one checkout would build the same thing.
exec 9>.tools/lock
flock 9

missing=0

# part NAME KEY PROOF COMMAND…: runs COMMAND unless it succeeded before with the
# same KEY and PROOF is there. Without a PROOF it always runs: that is for what
# lives outside .tools.
part() {
	local name=$1 key=$2 proof=$3 log=.tools/logs/$1.log
	shift 3
	if [[ -n $proof ]]; then
		[[ -e $proof && $(cat ".tools/stamps/$name" 2>/dev/null) == "$key" ]] && return
		echo "parts: installing $name" >&2
	fi
	sed -i "/^$name: /d" .tools/missing
	if "$@" >"$log" 2>&1; then
		echo "$key" >".tools/stamps/$name"
		return
	fi
	missing=1
	echo "$name: $(reason "$log")" | tee -a .tools/missing >&2
}

reason() { # LOG: its last line that says something
	local line
	line=$(grep -vE '^[[:space:]]*$' "$1" | tail -n 1 || true)
	line=${line#"${line%%[![:space:]]*}"}
	echo "${line:-it could not be installed}"
}

key() { cat "$@" | sha256sum | cut -c1-16; }

as_root() {
	if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

apt_install() { # PACKAGE…
	command -v apt-get >/dev/null || { echo "no apt-get on this machine" && return 1; }
	as_root true 2>/dev/null || { echo "apt-get needs root or passwordless sudo" && return 1; }
	# The lists may be absent or old: read them again only if they do not do.
	local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
	"${apt[@]}" "$@" || { as_root apt-get update && "${apt[@]}" "$@"; }
}

from_apt() { # TEST-COMMAND PACKAGE…
	local test=$1
	shift
	bash -c "$test" >/dev/null 2>&1 && return
	apt_install "$@" && bash -c "$test"
}

# unpacked DIR PACKAGE…: what is in Debian's packages, below DIR. Nothing is installed: a
# server would be started, and one system log takes the place of another.
unpacked() {
	local dir=$1 to
	shift
	command -v apt-get >/dev/null || { echo "no apt-get on this machine" && return 1; }
	to=$(mktemp -d) && chmod 755 "$to"
	(cd "$to" && { apt-get download "$@" || { as_root apt-get update && apt-get download "$@"; }; }) || return
	rm -rf "$dir" && mkdir -p "$dir"
	for package in "$to"/*.deb; do dpkg-deb -x "$package" "$dir" || return; done
	rm -rf "$to"
}

# with_libraries DIR PACKAGE…: unpacked, with the libraries that the packages name, which
# are called otherwise in another release. The C library stays the machine's.
with_libraries() {
	local dir=$1
	shift
	# shellcheck disable=SC2046 # one word each
	unpacked "$dir" "$@" $(apt-cache depends "$@" | awk '/Depends: lib/ && $NF != "libc6" && $NF !~ /</ { print $NF }' | sort -u)
}

# go_tool PACKAGE [DIR]: builds a tool that tools/go.mod pins, or the one in DIR. Flags and
# workspaces of the caller do not reach it.
go_tool() { env GOFLAGS=-buildvcs=false GOWORK=off GOBIN="$root/.tools/bin" go -C "${2:-tools}" install "$1"; }

minio() {
	env GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 GOBIN="$root/.tools/bin" \
		go install -trimpath -ldflags '-s -w' "github.com/minio/minio@$minio_version"
}

# reference: the Prometheus that interop/reference/go.mod pins. Without service discovery,
# which no test needs, it takes a quarter of the time.
reference() {
	env GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 go -C interop/reference build -trimpath -tags remove_all_sd \
		-ldflags '-s -w' -o "$root/.tools/bin/prometheus-current" github.com/prometheus/prometheus/cmd/prometheus
}

# tofu: OpenTofu, which evaluates what is rendered for Terraform. It goes with a fork of a
# library; a module of its own says so.
tofu() {
	env GOFLAGS=-buildvcs=false GOWORK=off CGO_ENABLED=0 go -C interop/tofu build -trimpath -ldflags '-s -w' \
		-o "$root/.tools/bin/tofu" github.com/opentofu/opentofu/cmd/tofu
}

# venv DIR REQUIREMENTS: a virtual environment with exactly the pinned packages.
venv() {
	rm -rf "$1"
	new_venv "$1"
	"$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --requirement "$2"
}

new_venv() { # DIR; Debian leaves ensurepip out of python3
	command -v python3 >/dev/null || apt_install python3 python3-venv || return
	python3 -m venv "$1" && return
	rm -rf "$1"
	if apt_install python3-venv && python3 -m venv "$1"; then return; fi
	rm -rf "$1"
	python3 -m pip install --quiet --target .tools/virtualenv virtualenv &&
		PYTHONPATH=.tools/virtualenv python3 -m virtualenv "$1"
}

# javascript TO DIR: exactly the packages that the lock file in DIR pins; none of them
# gets to run a script.
javascript() {
	command -v npm >/dev/null || { echo "no npm on this machine" && return 1; }
	rm -rf "$1" && mkdir "$1" && cp "$2/package.json" "$2/package-lock.json" "$1" &&
		(cd "$1" && npm ci --ignore-scripts --no-audit --no-fund)
}

shellcheck() {
	venv .tools/venv-lint tools/requirements.txt && ln -sf ../venv-lint/bin/shellcheck .tools/bin/shellcheck
}

# playwright: the driver of a browser; the browser itself is Debian's.
playwright() {
	rm -rf .tools/page
	mkdir -p .tools/page
	cp interop/page/package.json interop/page/package-lock.json .tools/page/
	(cd -P .tools/page && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --ignore-scripts --no-audit --no-fund)
}

debian_prometheus() { part debian-prometheus 1 .tools/debian/prometheus/usr/bin/prometheus unpacked .tools/debian/prometheus prometheus; }

# from_maven DIR: exactly the files whose digests are pinned in interop/DIR, in .tools/DIR.
from_maven() {
	local sums=$root/interop/$1/SHA256SUMS to=.tools/$1 jars
	command -v mvn >/dev/null || apt_install maven || return
	rm -rf "$to"
	mvn -B -q -ntp -Dstyle.color=never -f "interop/$1/pom.xml" dependency:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$root/$to" || return
	jars=("$to"/*)
	(cd "$to" && sha256sum --strict --quiet --check "$sums") && ((${#jars[@]} == $(wc -l <"$sums"))) && return
	rm -rf "$to"
	echo "what came is not what interop/$1/SHA256SUMS says" && return 1
}

# search: OpenSearch, and the program that starts it.
search() {
	from_maven search || return
	javac -cp '.tools/search/*' -d .tools/search/classes interop/search/Engine.java && return
	rm -rf .tools/search
	return 1
}

search_parts() {
	part jdk - "" from_apt 'command -v javac' openjdk-17-jdk-headless
	part search "$(key interop/search/pom.xml interop/search/SHA256SUMS interop/search/Engine.java)" .tools/search/classes search
}

kafka_parts() {
	part java - "" from_apt 'command -v java' openjdk-17-jre-headless
	part kafka "$(key interop/kafka/pom.xml interop/kafka/SHA256SUMS)" .tools/kafka from_maven kafka
}

pinned=$(go env GOVERSION):$(key tools/go.mod tools/go.sum)

for word in "$@"; do
	case $word in
	gotestsum) part gotestsum "$pinned" .tools/bin/gotestsum go_tool gotest.tools/gotestsum ;;
	linters)
		part golangci-lint "$pinned" .tools/bin/golangci-lint go_tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint
		part shellcheck "$(key tools/requirements.txt)" .tools/bin/shellcheck shellcheck
		;;
	interop)
		part minio "$minio_version" .tools/bin/minio minio
		part pypi-aws "$(key interop/requirements.txt)" .tools/venv/bin/aws venv .tools/venv interop/requirements.txt
		part pypi-setup "$(key interop/setup/requirements.txt)" .tools/venv-setup/bin/cfn-lint venv .tools/venv-setup interop/setup/requirements.txt
		part npm-aws "$(key interop/js/package.json interop/js/package-lock.json)" .tools/js/node_modules/@aws-sdk javascript .tools/js interop/js
		part pypi-ingestion "$(key interop/ingestion/requirements.txt)" .tools/venv-ingestion/bin/python venv .tools/venv-ingestion interop/ingestion/requirements.txt
		part npm-ingestion "$(key interop/ingestion/package.json interop/ingestion/package-lock.json)" .tools/js-ingestion/node_modules/@azure javascript .tools/js-ingestion interop/ingestion
		part debian-aws-cli - "" from_apt 'test -x /usr/bin/aws' awscli
		part debian-boto3 - "" from_apt '/usr/bin/python3 -c "import boto3"' python3-boto3
		debian_prometheus
		part debian-syslog-ng 2 .tools/debian/syslog-ng/usr/sbin/syslog-ng \
			with_libraries .tools/debian/syslog-ng syslog-ng-core syslog-ng-mod-http
		part jq - "" from_apt 'command -v jq' jq
		part curl - "" from_apt 'command -v curl' curl
		;;
	collector) debian_prometheus ;;
	collector-tools)
		part mdatagen "$(go env GOVERSION):$(key collector/tools/go.mod)" .tools/bin/mdatagen go_tool go.opentelemetry.io/collector/cmd/mdatagen collector/tools
		part builder "$(go env GOVERSION):$(key collector/tools/go.mod)" .tools/bin/builder go_tool go.opentelemetry.io/collector/cmd/builder collector/tools
		;;
	bench) part nginx - "" from_apt 'command -v nginx || test -x /usr/sbin/nginx' nginx-light ;;
	kafka) kafka_parts ;;
	search) search_parts ;;
	slow)
		kafka_parts
		search_parts
		part debian-azure-cli - "" from_apt 'test -x /usr/bin/az' azure-cli
		part debian-chromium - "" from_apt 'test -x /usr/bin/chromium' chromium
		part nodejs - "" from_apt 'command -v node && command -v npm' nodejs npm
		part playwright-core "$(key interop/page/package.json interop/page/package-lock.json)" .tools/page/node_modules/playwright-core playwright
		part tofu "$(go env GOVERSION):$(key interop/tofu/go.mod interop/tofu/go.sum)" .tools/bin/tofu tofu
		part prometheus-current "$(go env GOVERSION):$(key interop/reference/go.mod interop/reference/go.sum)" .tools/bin/prometheus-current reference
		;;
	*) echo "parts.sh: no part $word" >&2 && exit 2 ;;
	esac
done

if [[ -n ${CI:-} && $missing == 1 ]]; then
	echo "parts: CI needs every part" >&2
	exit 1
fi
