package sandbox_test

import (
	"encoding/json"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

func TestAWorldWithAMistakeIsNotPlayed(t *testing.T) {
	for want, change := range map[string]func(w *sandbox.World){
		"exists twice":           func(w *sandbox.World) { w.Tenants = append(w.Tenants, w.Tenants[0]) },
		"a name or id is empty":  func(w *sandbox.World) { w.Tenants[0].ID = "" },
		"the object id is empty": func(w *sandbox.World) { w.Tenants[0].Apps[0].ObjectID = "" },
		"neither 1 nor 2":        func(w *sandbox.World) { w.Tenants[0].Apps[0].TokenVersion = 3 },
		"not twelve digits":      func(w *sandbox.World) { w.Accounts[0].ID = "1" },
		"must be an https URL":   func(w *sandbox.World) { w.Accounts[0].Providers[0].URL = "http://example.com" },
		`role "keyless-demo"`:    func(w *sandbox.World) { w.Accounts[0].Roles[0].TrustPolicy = "{}" },
		"the name is empty":      func(w *sandbox.World) { w.Accounts[0].Roles[0].Name = "" },
		"not a legal name":       func(w *sandbox.World) { w.Accounts[0].Buckets[0].Name = "A" },
		"must be a URL":          func(w *sandbox.World) { w.Issuers = []sandbox.Issuer{{URL: "x"}} },
		`user ""`:                func(w *sandbox.World) { w.Accounts[0].Users = []sandbox.AccessKey{{}} },
		"system-assigned":        func(w *sandbox.World) { w.Tenants[0].Identities[0].FederatedCredentials = []sandbox.FIC{{}} },
		`identity "vm-demo"`:     func(w *sandbox.World) { w.Tenants[0].Identities[0].ObjectID = "" },
		"32 hexadecimal digits":  func(w *sandbox.World) { w.Tenants[0].Rules[0].ImmutableID = "dcr-" + strings.Repeat("g", 32) },
		`rule "dcr-`:             func(w *sandbox.World) { w.Tenants[0].Rules[1].ImmutableID = w.Tenants[0].Rules[0].ImmutableID },
		"has no object id":       func(w *sandbox.World) { w.Tenants[0].Rules[0].Publishers[0].ObjectID = "" },
		"neither Custom- nor":    func(w *sandbox.World) { w.Tenants[0].Rules[0].Streams["Demo_CL"] = sandbox.LogStream{} },
		`column "1st"`:           func(w *sandbox.World) { w.Tenants[0].Rules[0].Streams[sandbox.DemoStream].Columns["1st"] = "string" },
		`no type is called`:      func(w *sandbox.World) { w.Tenants[0].Rules[0].Streams[sandbox.DemoStream].Columns["n"] = "float" },
		"more than 500 columns": func(w *sandbox.World) {
			for i := range 501 {
				w.Tenants[0].Rules[0].Streams[sandbox.DemoStream].Columns["c"+strconv.Itoa(i)] = "string"
			}
		},
		`workspace: "ws-`: func(w *sandbox.World) {
			w.Accounts[0].Workspaces = append(w.Accounts[0].Workspaces, w.Accounts[0].Workspaces[0])
		},
	} {
		w := sandbox.Demo()
		change(&w)
		if _, err := sandbox.New(w, sandbox.Options{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestAWorldIsPlainData(t *testing.T) {
	text, err := json.Marshal(sandbox.Demo())
	if err != nil {
		t.Fatal(err)
	}
	var w sandbox.World
	if err := json.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(w, sandbox.Demo()) {
		t.Error("a world changes on its way through JSON")
	}
}

func TestTheLoggerSeesEventsAndNoSecrets(t *testing.T) {
	var out strings.Builder
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Logger: slog.New(slog.NewTextHandler(&out, nil))}))
	token := c.secretToken(t)
	keys := c.assume(t, sandbox.DemoRoleARN, token)
	for _, secret := range []string{sandbox.DemoAppSecret, token, keys.SecretAccessKey, keys.SessionToken} {
		if strings.Contains(out.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
	if !strings.Contains(out.String(), "op=AssumeRoleWithWebIdentity outcome=ok") {
		t.Error(out.String())
	}
}
