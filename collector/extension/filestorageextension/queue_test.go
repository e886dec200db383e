package filestorageextension

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/plog"
)

var errDied = errors.New("the machine is off")

// memory is a storage whose machine dies after so many transactions.
type memory struct {
	component.StartFunc
	component.ShutdownFunc
	mu   sync.Mutex
	kept map[string][]byte
	left int // transactions; less than zero: for ever
	last time.Time
}

func (m *memory) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return memoryClient{m}, nil
}

type memoryClient struct{ *memory }

func (c memoryClient) Get(_ context.Context, key string) ([]byte, error) {
	get := storage.GetOperation(key)
	err := c.Batch(context.Background(), get)
	return get.Value, err
}

func (c memoryClient) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

func (c memoryClient) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

func (c memoryClient) Close(context.Context) error { return nil }

func (c memoryClient) Batch(_ context.Context, ops ...*storage.Operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
	if c.left == 0 {
		return errDied
	}
	c.left--
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			op.Value = c.kept[op.Key]
		case storage.Set:
			c.kept[op.Key] = slices.Clone(op.Value)
		case storage.Delete:
			delete(c.kept, op.Key)
		}
	}
	return nil
}

// life is one run of a collector's exporter upon a storage.
type life struct {
	storage.Extension
	mu   sync.Mutex
	rows []string
	hold chan struct{} // nil: requests are answered at once
}

func (l *life) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("file_storage"): l.Extension}
}

func (l *life) push(ctx context.Context, logs plog.Logs) error {
	if l.hold != nil {
		select {
		case <-l.hold:
		case <-ctx.Done():
		}
		return errDied
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, record := range records(logs) {
		l.rows = append(l.rows, record.Body().Str())
	}
	return nil
}

func records(logs plog.Logs) (all []plog.LogRecord) {
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				all = append(all, record)
			}
		}
	}
	return all
}

// delivered reports whether so many different rows are.
func (l *life) delivered(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	different := map[string]bool{}
	for _, row := range l.rows {
		different[row] = true
	}
	return len(different) == n
}

// run lives until what is to happen has happened.
func (l *life) run(t *testing.T, rows []string, until func() bool) {
	t.Helper()
	queue := exporterhelper.NewDefaultQueueConfig()
	storageID := component.MustNewID("file_storage")
	queue.StorageID, queue.NumConsumers = &storageID, 5
	queue.Batch = configoptional.None[exporterhelper.BatchConfig]()
	retry := configretry.NewDefaultBackOffConfig()
	retry.Enabled = false
	exporter, err := exporterhelper.NewLogs(t.Context(), exportertest.NewNopSettings(component.MustNewType("test")), &struct{}{}, l.push,
		exporterhelper.WithQueue(configoptional.Some(queue)), exporterhelper.WithRetry(retry), exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := exporter.Start(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		logs := plog.NewLogs()
		logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(row)
		if err := exporter.ConsumeLogs(t.Context(), logs); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for !until() && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if l.hold != nil {
		l.Extension.(dying).die() // what comes of the requests now is written nowhere
		close(l.hold)
	}
	_ = exporter.Shutdown(t.Context()) // with a dead storage it fails
}

type dying interface{ die() }

func (m *memory) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = 0
}

// quiet reports whether the queue has nothing to do, or can do nothing.
func (m *memory) quiet() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.last) > 50*time.Millisecond
}

type wrapped struct {
	fileStorage
	*memory
}

func (w wrapped) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	return w.fileStorage.GetClient(ctx, kind, id, name)
}

func (w wrapped) Start(context.Context, component.Host) error { return nil }
func (w wrapped) Shutdown(context.Context) error              { return nil }

func newStorage(ours bool, kept map[string][]byte, left int) (storage.Extension, *memory) {
	m := &memory{kept: maps.Clone(kept), left: left, last: time.Now()}
	if m.kept == nil {
		m.kept = map[string][]byte{}
	}
	if ours {
		return wrapped{fileStorage{m}, m}, m
	}
	return m, m
}

// survivors are the rows that are delivered although the machine dies with five requests on
// their way, and again in so many transactions after it was started.
func survivors(t *testing.T, ours bool, transactions int) []string {
	t.Helper()
	files, disk := newStorage(ours, nil, -1)
	first := &life{Extension: files, hold: make(chan struct{})}
	first.run(t, []string{"a", "b", "c", "d", "e"}, func() bool {
		disk.mu.Lock()
		defer disk.mu.Unlock()
		all, _ := fields(disk.kept[stateKey])
		for _, f := range all {
			if f.number == dispatched {
				return len(f.fixed64s()) == 5
			}
		}
		return false
	})

	files, second := newStorage(ours, disk.kept, transactions)
	(&life{Extension: files, hold: make(chan struct{})}).run(t, nil, second.quiet)

	files, third := newStorage(ours, second.kept, -1)
	last := &life{Extension: files}
	last.run(t, nil, func() bool { return last.delivered(5) || !ours && third.quiet() })
	slices.Sort(last.rows)
	return last.rows
}

func TestAMachineThatDiesWhileItRecoversLosesNothing(t *testing.T) {
	for transactions := range 16 {
		if got := survivors(t, true, transactions); !slices.Equal(slices.Compact(got), []string{"a", "b", "c", "d", "e"}) {
			t.Errorf("dead after %d transactions: %q", transactions, got)
		}
	}
}

// The day on which this fails the package is needed no more.
func TestTheStockRecoveryLosesWhatItIsMoving(t *testing.T) {
	lost := 0
	for transactions := range 16 {
		lost = max(lost, 5-len(slices.Compact(survivors(t, false, transactions))))
	}
	if lost == 0 {
		t.Error("nothing was lost: the queue recovers by itself now")
	}
}

func TestWhatWasDeliveredIsNotSentAgain(t *testing.T) {
	files, disk := newStorage(true, nil, -1)
	first := &life{Extension: files}
	first.run(t, []string{"a", "b", "c"}, func() bool { return first.delivered(3) && disk.quiet() })
	// As if the first had been on its way when the machine died.
	disk.kept[stateKey] = state(1, 3, 3, 0)
	logs := plog.NewLogs()
	logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("a")
	disk.kept["0"], _ = (&plog.ProtoMarshaler{}).MarshalLogs(logs)

	files, again := newStorage(true, disk.kept, -1)
	next := &life{Extension: files}
	next.run(t, []string{"d"}, func() bool { return next.delivered(2) && again.quiet() })
	if slices.Sort(next.rows); !slices.Equal(next.rows, []string{"a", "d"}) {
		t.Errorf("%q", next.rows)
	}
}
