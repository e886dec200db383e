package filestorageextension

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// fileStorage is contrib's, with clients that know of queues.
type fileStorage struct{ storage.Extension }

// GetClient implements [storage.Extension].
func (f *fileStorage) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	stock, err := f.Extension.GetClient(ctx, kind, id, name)
	if err != nil {
		return nil, err
	}
	if walker, ok := stock.(storage.Walker); ok {
		return &walkingClient{client{stock}, walker}, nil
	}
	return &client{stock}, nil
}

// stateKey is where the queue of exporterhelper keeps its state.
const stateKey = "qmv0"

// errDelivered makes the queue go on to the next request.
var errDelivered = errors.New("this request was delivered before the queue was stopped")

// client is a stock client, except for what a queue does.
type client struct{ storage.Client }

type walkingClient struct {
	client
	storage.Walker
}

// Get implements [storage.Client].
func (c *client) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := c.Client.Get(ctx, key)
	if err != nil || key != stateKey {
		return value, err
	}
	return rewound(value), nil
}

// Batch implements [storage.Client]. Between the requests that were on their way are places
// of such as were delivered; the queue takes an error for them, and nothing for an empty
// request.
func (c *client) Batch(ctx context.Context, ops ...*storage.Operation) error {
	if err := c.Client.Batch(ctx, ops...); err != nil {
		return err
	}
	if takesNext(ops) && ops[1].Value == nil {
		return errDelivered
	}
	return nil
}

// takesNext reports whether a queue takes its next request: it notes that, and reads it.
func takesNext(ops []*storage.Operation) bool {
	return len(ops) == 2 && ops[0].Type == storage.Set && ops[0].Key == stateKey && ops[1].Type == storage.Get
}
