package daemon_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

const forPods = `
  pod: { source: { pod: {} }, audience: sts.amazonaws.com, aws: { role_arn: "` + sandbox.DemoPodRoleARN + `", region: us-east-1 } }
  refused: { source: { pod: {} }, audience: sts.amazonaws.com, aws: { role_arn: "` + sandbox.DemoOtherARN + `", region: us-east-1 } }
serve:
  listen: none
  directory: DIR/run
  profiles: [ vm ]
  kubernetes:
    listen: "LISTEN"
    issuer: "` + sandbox.DemoClusterIssuer + `"
    audience: sts.amazonaws.com
    keys_file: DIR/keys.json
    pods:
      - { namespace: demo, service_account: keyless, profile: pod }
      - { namespace: demo, service_account: other, profile: refused }
`

// node is a daemon that answers pods.
func node(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	request, err := http.NewRequest(http.MethodGet, sandbox.DemoClusterIssuer+".well-known/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := w.RoundTripper().RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	keys, err := os.Create(filepath.Join(w.dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.ReadFrom(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, err)
	}
	_ = keys.Close()
	w.write(t, forPods)
	w.start(t)
	return w
}

// podToken is what the kubelet puts into a pod, changed as a test likes.
func (w *world) podToken(t *testing.T, account string, flaw sandbox.Flaw, change func(map[string]any)) string {
	t.Helper()
	now := time.Now()
	claims := map[string]any{
		"iss": sandbox.DemoClusterIssuer, "sub": "system:serviceaccount:demo:" + account, "aud": []string{"sts.amazonaws.com"}, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "demo", "serviceaccount": map[string]any{"name": account}, "pod": map[string]any{"name": account + "-0", "uid": "c0de5000-0000-4000-8000-000000000052"}},
	}
	if change != nil {
		change(claims)
	}
	token, err := w.Mint(claims, sandbox.Minting{Flaw: flaw})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (w *world) askAsPod(t *testing.T, token string) (int, string) {
	t.Helper()
	return w.ask(t, "http://"+w.listen+"/v1/credentials", "Authorization", token)
}

// A pod's own token is what is traded: the far side sees the pod, and the node never
// proves itself for it.
func TestAPodGetsTheRoleOfItsServiceAccount(t *testing.T) {
	w := node(t)
	w.until(t, "the node's own profile is there", func() bool { return w.requests(sandbox.STS) == 1 })
	imds := w.requests(sandbox.IMDS)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if status, body := w.askAsPod(t, w.podToken(t, "keyless", sandbox.Sound, nil)); status != 200 || !strings.Contains(body, `"RoleArn":"`+sandbox.DemoPodRoleARN+`"`) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	all.Wait()
	if sts, now := w.requests(sandbox.STS), w.requests(sandbox.IMDS); sts != 2 || now != imds {
		t.Errorf("%d requests to STS, %d to the node's IMDS after %d", sts, now, imds)
	}
	if text := w.audit.String(); !strings.Contains(text, `"subject":"system:serviceaccount:demo:keyless","pod":"keyless-0"`) || strings.Contains(text, "eyJ") {
		t.Error(text)
	}
}

// Items 2 and 10 are not for pods: whoever has no token of the right service account gets
// nothing, from wherever it asks.
func TestWhoIsNotAPodOfTheNodeGetsNothing(t *testing.T) {
	w := node(t)
	sts, imds := w.requests(sandbox.STS), w.requests(sandbox.IMDS)
	good := w.podToken(t, "keyless", sandbox.Sound, nil)
	claim := func(name string, value any) string {
		return w.podToken(t, "keyless", sandbox.Sound, func(c map[string]any) { c[name] = value })
	}
	for name, token := range map[string]string{
		"no token": "", "a scheme": "Bearer " + good, "another account": w.podToken(t, "default", sandbox.Sound, nil),
		"the node's door": w.token(t, "vm"), "expired": claim("exp", time.Now().Add(-time.Minute).Unix()), "another audience": claim("aud", []string{"https://kubernetes.default.svc"}),
		"another issuer": claim("iss", "https://evil.example"), "another subject": claim("sub", "system:serviceaccount:demo:admin"),
		"bad signature": w.podToken(t, "keyless", sandbox.BadSignature, nil), "foreign key": w.podToken(t, "keyless", sandbox.ForeignKey, nil), "unknown key": w.podToken(t, "keyless", sandbox.UnknownKey, nil),
		"unsigned": w.podToken(t, "keyless", sandbox.Unsigned, nil), "symmetric": w.podToken(t, "keyless", sandbox.SymmetricAbuse, nil),
	} {
		if status, body := w.askAsPod(t, token); status != 403 || strings.Contains(body, "ASIA") || body != `{"Code":"AccessDenied","Message":"Access denied."}` {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	for _, header := range []string{"Origin", "X-Forwarded-For", "Via"} {
		request, _ := http.NewRequest(http.MethodGet, "http://"+w.listen+"/v1/credentials", nil)
		request.Header.Set("Authorization", good)
		request.Header.Set(header, "x")
		answer, err := w.client.Do(request)
		if err != nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v, %v", header, answer, err)
		}
		_ = answer.Body.Close()
	}
	if status, _ := w.ask(t, "http://"+w.listen+"/v1/credentials/vm", "Authorization", good); status != 404 {
		t.Errorf("the node's profile: %d", status)
	}
	if w.requests(sandbox.STS) != sts || w.requests(sandbox.IMDS) != imds {
		t.Error("a far side was asked for somebody without a token")
	}
	if text := w.audit.String(); strings.Count(text, `"msg":"refused"`) < 14 || strings.Contains(text, "eyJ") {
		t.Error(text)
	}
}

func TestWhatSTSRefusesAPodIsTold(t *testing.T) {
	w := node(t)
	if status, body := w.askAsPod(t, w.podToken(t, "other", sandbox.Sound, nil)); status != 400 || !strings.Contains(body, "AccessDenied") {
		t.Errorf("%d %s", status, body)
	}
	const slow = 6 * time.Second
	w.SetFault(sandbox.STS, sandbox.Fault{Delay: slow, Times: 1})
	token := w.podToken(t, "keyless", sandbox.Sound, nil)
	began := time.Now()
	if status, body := w.askAsPod(t, token); status != 503 || time.Since(began) >= slow {
		t.Errorf("%d %s after %s", status, body, time.Since(began))
	}
	w.until(t, "the answer has come", func() bool { status, _ := w.askAsPod(t, token); return status == 200 })
}

func TestWithoutTheClustersKeysNothingIsKnown(t *testing.T) {
	w := node(t)
	if err := os.Rename(filepath.Join(w.dir, "keys.json"), filepath.Join(w.dir, "keys")); err != nil {
		t.Fatal(err)
	}
	token := w.podToken(t, "keyless", sandbox.Sound, nil)
	if status, body := w.askAsPod(t, token); status != 503 || !strings.Contains(body, "cluster keys") {
		t.Errorf("%d %s", status, body)
	}
	if err := os.Rename(filepath.Join(w.dir, "keys"), filepath.Join(w.dir, "keys.json")); err != nil {
		t.Fatal(err)
	}
	w.until(t, "the keys are there", func() bool { status, _ := w.askAsPod(t, token); return status == 200 })
	if err := os.Remove(filepath.Join(w.dir, "keys.json")); err != nil {
		t.Fatal(err)
	}
	sts := w.requests(sandbox.STS)
	w.again(t) // must forget neither the keys nor the credentials
	if status, body := w.askAsPod(t, w.podToken(t, "keyless", sandbox.Sound, nil)); status != 200 || w.requests(sandbox.STS) != sts {
		t.Errorf("after a reload: %d %s", status, body)
	}
}

func TestPodsAndTheNodeAreKeptApart(t *testing.T) {
	for serve, want := range map[string]string{
		"serve: { directory: DIR/run, profiles: [ pod ] }":                                                                "its tokens come from pods",
		strings.Replace(forPods[strings.Index(forPods, "serve:"):], "profile: pod }", "profile: vm }", 1):                 "not that of a pod",
		strings.Replace(forPods[strings.Index(forPods, "serve:"):], "audience: sts.amazonaws.com", "audience: x", 1):      "its audience is not that of serve.kubernetes",
		strings.Replace(forPods[strings.Index(forPods, "serve:"):], "service_account: other", "service_account: \"\"", 1): "wants namespace and service_account",
	} {
		w := newWorld(t)
		w.write(t, forPods[:strings.Index(forPods, "serve:")]+serve)
		w.startWithoutWaiting(t)
		if err := <-w.gone(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", serve, err)
		}
	}
}
