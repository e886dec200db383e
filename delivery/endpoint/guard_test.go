package endpoint

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/internal/peer"
)

// Item 10. Whose socket it is decides, over a real connection: to a guard that waits for
// somebody else, this user is another one.
func TestTheGuardKnowsWhoseProgramsMayAsk(t *testing.T) {
	if !peer.Tells {
		t.Skip("this system does not say whose connection it is")
	}
	for uid, want := range map[int]int{os.Getuid(): http.StatusOK, os.Getuid() + 1: http.StatusForbidden} {
		server := httptest.NewUnstartedServer(nil)
		server.Config.ConnContext = remember
		server.Config.Handler = Guard{
			Hosts: []string{server.Listener.Addr().String()}, UIDs: []int{uid}, Audit: slog.New(slog.DiscardHandler),
			Next: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hunter2") }),
		}
		server.Start()
		t.Cleanup(server.Close)
		answer, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != want || strings.Contains(string(body), "hunter2") != (want == http.StatusOK) {
			t.Errorf("programs of %d: %d %s", uid, answer.StatusCode, body)
		}
	}
}

// A connection that nobody remembered is nobody's.
func TestWithoutAConnectionNobodyMayAsk(t *testing.T) {
	if (Guard{UIDs: []int{os.Getuid()}}).mayAsk(httptest.NewRequest(http.MethodGet, "/", nil)) {
		t.Error("a request from nowhere")
	}
}
