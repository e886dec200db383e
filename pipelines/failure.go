package pipelines

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/wire"
)

// Codes of this source's own.
const (
	CodeSignIn          = "SignIn"          // the service wants somebody to sign in: the access token is not accepted
	CodeWrongConnection = "WrongConnection" // the token does not stand for the connection that was asked for
	CodeWrongSubject    = "WrongSubject"    // the token has another subject than the expected one
)

const (
	hintSignIn = "the service does not accept the access token: map SYSTEM_ACCESSTOKEN: $(System.AccessToken) into the task's env, and ask while the job runs; it is void afterwards"
	hintBusy   = "Azure DevOps is busy or out of order; it was asked several times, and may answer later"
	hintOther  = "the address answers, but not like Azure DevOps; is SYSTEM_OIDCREQUESTURI as the agent set it, and is a proxy in the way?"
)

// failed knows one redirect that is not a proxy's: to the page to sign in on.
func failed(err error) *keyless.Error {
	e := hop.Failed(keyless.HopSource, opJob, err)
	var redirect *wire.RedirectError
	if errors.As(err, &redirect) && isSignIn(redirect.Target) {
		e.Code, e.Hint = CodeSignIn, hintSignIn
	}
	return e
}

func isSignIn(host string) bool {
	for _, suffix := range []string{"visualstudio.com", "dev.azure.com", "microsoftonline.com", "login.live.com"} {
		if host == suffix || strings.HasSuffix(host, "."+suffix) {
			return true
		}
	}
	return false
}

// wrapped is how Azure DevOps words an error, in JSON.
type wrapped struct {
	Message string `json:"message"`
	TypeKey string `json:"typeKey"`
}

func (j Job) refusal(answer *wire.Answer) *keyless.Error {
	secret := j.AccessToken.Reveal()
	var w wrapped
	if json.Unmarshal(answer.Body, &w) != nil || w.Message == "" {
		return unworded(answer, secret)
	}
	e := &keyless.Error{
		Hop: keyless.HopSource, Op: opJob, RetryAfter: answer.RetryAfter(), Temporary: passing(answer.Status),
		Code: wire.Quote(w.TypeKey, secret), Message: wire.Quote(w.Message, secret) + ids(answer, secret),
	}
	if e.Code == "" {
		e.Code = "HTTP " + strconv.Itoa(answer.Status)
	}
	e.Hint = j.hint(answer.Status, strings.ToLower(w.Message))
	return e
}

// unworded is for answers that are not Azure DevOps's JSON: pages, proxies, nothing.
func unworded(answer *wire.Answer, secret string) *keyless.Error {
	e := oauth.Error(opJob, answer, secret)
	switch {
	case answer.Status == http.StatusUnauthorized, answer.Status == http.StatusNonAuthoritativeInfo:
		e.Code, e.Hint, e.Message = CodeSignIn, hintSignIn, "answered "+strconv.Itoa(answer.Status)+ids(answer, secret)
	case e.Temporary:
		e.Hint = hintBusy
	default:
		e.Hint = hintOther
	}
	return e
}

func passing(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}

// ids are what Microsoft's support asks for.
func ids(answer *wire.Answer, secret string) string {
	if id := wire.Quote(answer.Header.Get("X-Vss-E2eid"), secret); id != "" && len(id) <= 64 {
		return " (e2eid " + id + ")"
	}
	return ""
}

func (j Job) hint(status int, text string) string {
	switch {
	case strings.Contains(text, "no explicit reference to service connection"):
		return "the stage must name the connection in a task's input; a task that never runs (condition: false) is enough, with the connection " + wire.Quote(j.ServiceConnectionID)
	case status == http.StatusUnauthorized:
		return hintSignIn
	case status == http.StatusForbidden:
		return "the job may not use this connection; permit the pipeline in the connection's security settings"
	case status == http.StatusNotFound || status == http.StatusBadRequest:
		return "no such connection in this project, or the job may not see it; is the service connection id right, and the job still running?"
	case passing(status):
		return hintBusy
	}
	return "Azure DevOps refused; its message says why"
}
