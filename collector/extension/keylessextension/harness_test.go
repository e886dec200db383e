package keylessextension

import (
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

const monitorScope = "https://monitor.azure.com/.default"

// world is the two clouds, on sockets.
type world struct {
	*sandbox.Sandbox
	env map[string]string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &world{s, map[string]string{}}
	for _, variable := range s.Env() {
		name, value, _ := strings.Cut(variable, "=")
		w.env[name] = value
	}
	return w
}

// block is a part of a configuration.
type block = map[string]any

// inVM is the identity of the machine, for Azure Monitor, with more said about it.
func inVM(more block) block {
	all := block{"source": block{"managed_identity": nil}, "scope": monitorScope, "hosts": []any{"127.0.0.1", "localhost"}}
	for key, value := range more {
		all[key] = value
	}
	return all
}

// inAWS is the same machine, for the role of the demo.
func inAWS(more block) block {
	all := inVM(block{"audience": sandbox.DemoAudience, "aws": block{"role_arn": sandbox.DemoRoleARN}})
	delete(all, "scope")
	for key, value := range more {
		all[key] = value
	}
	return all
}

// asServer lets those in who may use the demo's API. The keys are the sandbox's.
func (w *world) asServer(more block) block {
	server := block{"tenant": sandbox.DemoTenantID, "audience": []any{sandbox.DemoAudience}, "jwks_url": w.URL(sandbox.Entra) + "/common/discovery/keys"}
	for key, value := range more {
		server[key] = value
	}
	return block{"server": server}
}

// start is an extension at work, with what it logs.
func (w *world) start(t *testing.T, values block) (*keylessExtension, *observer.ObservedLogs) {
	t.Helper()
	e, logs := w.unstarted(t, values)
	if err := e.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(t.Context()) })
	return e, logs
}

func (w *world) unstarted(t *testing.T, values block) (*keylessExtension, *observer.ObservedLogs) {
	t.Helper()
	cfg, err := read(confmap.NewFromStringMap(values))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	set := extensiontest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	e, err := newExtension(cfg, set, func(name string) string { return w.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	return e, logs
}

// host has the extensions under their names.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

func with(name string, e extension.Extension) host {
	return host{component.NewIDWithName(metadata.Type, name): e}
}

func (w *world) monitor() string {
	return w.URL(sandbox.Workspace) + "/dataCollectionRules/" + sandbox.DemoMetricsRuleID + "/streams/" + sandbox.MetricsStream + "/api/v1/write?api-version=2023-04-24"
}

func (w *world) logs() string {
	return w.URL(sandbox.DCE) + "/dataCollectionRules/" + sandbox.DemoRuleID + "/streams/" + sandbox.DemoStream + "?api-version=2023-01-01"
}

const row = `[{"TimeGenerated":"2026-01-02T03:04:05Z","Message":"hello"}]`

func newRow(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(row))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	return r
}
