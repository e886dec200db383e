package profile

import (
	"context"
	"errors"

	keyless "github.com/keyless-id/keyless"
)

// podSource has no token of its own: that of the node must never stand in for a pod's.
type podSource struct{}

var errNoPod = errors.New("there is no pod that asks")

func (podSource) Token(context.Context) (keyless.Token, error) {
	return keyless.Token{}, &keyless.Error{
		Hop: keyless.HopSource, Op: "pod", Err: errNoPod,
		Hint: "source: pod is for serve.kubernetes, where each pod brings its token; inside a pod use workload_identity or auto",
	}
}
