#!/usr/bin/env bash
# Proves the floor plan: plants wrong and right imports in a tree of empty rooms
# and looks at what depguard says; then looks at what the program really links.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
readonly module=github.com/keyless-id/keyless
readonly rooms=(audit doctor convert internal/yamltree entra azhost pipelines awshost awssts awssdk azsdk delivery profile trust sandbox cmd/keyless
	internal/sigv4 internal/refresh internal/wire internal/filecache internal/jwtpeek internal/warm
	internal/hop internal/command internal/isolation internal/peer delivery/endpoint daemon
	internal/atomicfile internal/podtoken internal/newcomer internal/awsquery internal/iam internal/graph setup transport authproxy collector)

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp .golangci.yml "$tree/"
printf 'module %s\n\ngo 1.25.0\n' "$module" >"$tree/go.mod"
printf 'package keyless\n' >"$tree/keyless.go"
for room in "${rooms[@]}"; do
	mkdir -p "$tree/$room"
	printf 'package %s\n' "${room##*/}" >"$tree/$room/room.go"
done

plant() { # ROOM IMPORT, both as the plan names them
	local file=$tree/$1/planted.go package=${1##*/}
	[[ $1 == . ]] && package=keyless
	printf 'package %s\n\nimport _ "%s"\n' "$package" "$2" >"$file"
}

full() { # ROOM or a whole import path
	case $1 in
	keyless) echo "$module" ;;
	*.*/* | net/* | encoding/*) echo "$1" ;;
	*) echo "$module/$1" ;;
	esac
}

failures=0
expect() { # allowed|refused ROOM IMPORT
	local out
	plant "$2" "$(full "$3")"
	out=$(cd "$tree" && "$root/.tools/bin/golangci-lint" run --enable-only depguard ./"$2" 2>&1) || true
	rm "$tree/$2/planted.go"
	if [[ $1 == refused && $out == *"(depguard)"* ]] || [[ $1 == allowed && $out == *"0 issues"* ]]; then
		return
	fi
	echo "floor plan: $2 imports $3: want $1, golangci-lint said: $out" >&2
	failures=$((failures + 1))
}

expect refused . awssts
expect allowed daemon profile
expect allowed daemon authproxy
expect allowed daemon transport
expect allowed profile authproxy
expect refused profile transport
expect allowed daemon delivery/endpoint
expect refused daemon awssts
expect refused daemon sandbox
expect refused delivery profile
expect allowed delivery internal/atomicfile
expect refused profile daemon
expect allowed internal/podtoken internal/wire
expect refused internal/podtoken internal/hop
expect refused internal/podtoken keyless
expect refused . internal/wire
expect allowed . internal/refresh
expect refused entra delivery
expect refused entra awssts
expect refused entra sandbox
expect allowed entra internal/wire
expect refused awssts entra
expect allowed azhost entra
expect allowed convert profile
expect allowed convert authproxy
expect allowed convert internal/yamltree
expect refused convert daemon
expect refused convert internal/wire
expect refused profile convert
expect refused profile doctor
expect allowed doctor profile
expect allowed doctor internal/iam
expect refused doctor audit
expect refused doctor sandbox
expect refused doctor daemon
expect refused pipelines entra
expect refused pipelines awssts
expect allowed pipelines internal/hop
expect allowed awshost awssts
expect refused awshost entra
expect refused awshost sandbox
expect refused awssts awshost
expect refused delivery profile
expect refused trust keyless
expect refused trust audit
expect allowed audit trust
expect allowed audit awssts
expect refused audit internal/wire
expect refused audit profile
expect allowed setup trust
expect allowed setup internal/graph
expect refused setup profile
expect refused setup sandbox
expect refused audit setup
expect refused sandbox audit
expect refused sandbox keyless
expect refused sandbox internal/wire
expect allowed sandbox trust
expect refused sandbox google.golang.org/protobuf/encoding/protowire
expect refused sandbox github.com/golang/snappy
expect allowed sandbox github.com/aws/smithy-go/encoding/cbor
expect refused sandbox github.com/aws/smithy-go/encoding/xml
expect refused internal/wire keyless
expect refused internal/newcomer keyless
expect allowed internal/hop keyless
expect allowed internal/command internal/wire
expect refused internal/command keyless
expect allowed profile awshost
expect allowed internal/isolation golang.org/x/sys/unix
expect refused internal/peer internal/wire
expect allowed internal/iam internal/awsquery
expect allowed internal/graph internal/wire
expect refused internal/iam internal/graph
expect refused internal/iam profile
expect refused internal/awsquery internal/wire
expect allowed delivery/endpoint internal/peer
expect refused delivery/endpoint profile
expect refused internal/isolation internal/wire
expect refused internal/warm net/http
expect refused internal/filecache encoding/json
expect refused cmd/keyless github.com/aws/aws-sdk-go-v2/config
expect refused cmd/keyless github.com/Azure/azure-sdk-for-go/sdk/azidentity
expect refused cmd/keyless awssdk
expect refused cmd/keyless azsdk
expect allowed awssdk github.com/aws/aws-sdk-go-v2/aws
expect refused awssdk github.com/aws/aws-sdk-go-v2/service/sts
expect refused awssdk awssts
expect allowed azsdk github.com/Azure/azure-sdk-for-go/sdk/azcore/policy
expect refused azsdk github.com/Azure/azure-sdk-for-go/sdk/azidentity
expect refused azsdk entra
expect allowed transport keyless
expect allowed transport internal/wire
expect refused transport github.com/aws/aws-sdk-go-v2/aws/signer/v4
expect refused transport authproxy
expect allowed authproxy transport
expect allowed authproxy keyless
expect allowed authproxy internal/wire
expect refused authproxy delivery
expect refused authproxy profile
expect refused authproxy daemon
expect refused authproxy github.com/aws/aws-sdk-go-v2/aws/signer/v4
expect refused transport github.com/aws/aws-sdk-go-v2/config
expect refused transport github.com/Azure/azure-sdk-for-go/sdk/azcore
expect refused transport entra
expect refused transport awssdk
expect allowed cmd/keyless profile
expect refused collector internal/wire
expect allowed collector profile

# depguard sees direct imports only; the linker sees the rest. The codec of CBOR is one
# package that imports nothing but the standard library and initialises nothing.
linked=$(go list -deps ./cmd/keyless | grep -vx github.com/aws/smithy-go/encoding/cbor |
	grep -E '^(github.com/(aws/|Azure|AzureAD|prometheus|golang/snappy)|google.golang.org/protobuf)' || true)
if [[ -n $linked ]]; then
	echo "floor plan: cmd/keyless links:" "$linked" >&2
	failures=$((failures + 1))
fi

((failures == 0)) && echo "floor plan: holds"
