// An engine for IAM's conditions to compare trust with. Its license is the AGPL: it is
// linked by this test and by nothing else.
module github.com/keyless-id/keyless/interop/conditions

go 1.25.0

toolchain go1.26.8

require (
	github.com/keyless-id/keyless v0.0.0
	github.com/minio/pkg/v3 v3.1.3
)

require (
	github.com/goccy/go-json v0.10.5 // indirect
	github.com/minio/minio-go/v7 v7.0.88 // indirect
)

replace github.com/keyless-id/keyless => ../..
