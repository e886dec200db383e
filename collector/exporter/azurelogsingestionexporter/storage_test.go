package azurelogsingestionexporter

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/keyless-id/keyless/sandbox"
)

// disk is a host with the stock extension for storage, and the far side.
type disk struct {
	*far
	dir     string
	storage component.Component
}

func newDisk(t *testing.T, f *far, dir string) *disk {
	t.Helper()
	factory := filestorage.NewFactory()
	config := factory.CreateDefaultConfig().(*filestorage.Config)
	config.Directory = dir
	storage, err := factory.Create(context.Background(), extensiontest.NewNopSettings(factory.Type()), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := storage.Start(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = storage.Shutdown(context.Background()) })
	return &disk{f, dir, storage}
}

// GetExtensions is part of component.Host.
func (d *disk) GetExtensions() map[component.ID]component.Component {
	all := d.far.GetExtensions()
	all[component.MustNewID("file_storage")] = d.storage
	return all
}

func stored(c *Config) {
	id := component.MustNewID("file_storage")
	c.QueueConfig.Get().StorageID = &id
}

func shutDown(t *testing.T, e exporter.Logs) {
	t.Helper()
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsHeldSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		f.SetFault(sandbox.DCE, sandbox.Fault{Status: 403})
		host := newDisk(t, f, t.TempDir())
		for i := range 3 {
			e := started(t, host, stored)
			consume(t, e, lines(i*100, 100))
			time.Sleep(time.Minute)
			shutDown(t, e)
		}
		if n := f.RowCount(sandbox.DemoStream); n != 0 {
			t.Fatalf("%d rows", n)
		}
		f.ClearFaults()
		e := started(t, host, stored)
		time.Sleep(time.Minute)
		f.wantOnce(t, 300)
		shutDown(t, e)
	})
}

func TestWhatIsHeldForAWrongNameGoesToTheRightOneLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		host := newDisk(t, f, t.TempDir())
		e := started(t, host, stored, func(c *Config) { c.Stream = "Custom-Typo_CL" })
		consume(t, e, lines(0, 100))
		time.Sleep(time.Hour)
		shutDown(t, e)
		e = started(t, host, stored)
		time.Sleep(time.Minute)
		f.wantOnce(t, 100)
		shutDown(t, e)
	})
}

// A copy of the files at any moment is what a machine finds after it has lost power, with
// a disk that keeps what was written.
func TestNothingIsLostByACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFar(t, demoWorld)
		dir := t.TempDir()
		f.SetFault(sandbox.DCE, sandbox.Fault{Delay: 20 * time.Second, Status: 503})
		before := newDisk(t, f, dir)
		e := started(t, before, stored)
		for i := range 20 {
			consume(t, e, lines(i*10, 10))
			time.Sleep(700 * time.Millisecond)
		}
		after := t.TempDir()
		if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		shutDown(t, e)
		if n := f.RowCount(sandbox.DemoStream); n != 0 {
			t.Fatalf("%d rows before the crash", n)
		}
		f.ClearFaults()
		e = started(t, newDisk(t, f, after), stored)
		time.Sleep(time.Minute)
		f.wantOnce(t, 200)
		shutDown(t, e)
		if files, err := filepath.Glob(filepath.Join(after, "*")); err != nil || len(files) != 1 {
			t.Errorf("%v, %v", files, err)
		}
	})
}
