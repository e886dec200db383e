package elasticsearchexporter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v9/esapi"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/internal/reply"
)

// client is the transport of the requests to the engine. That of Elastic would check that
// the far side is Elasticsearch, and try again by itself.
type client struct {
	config *Config
	http   *http.Client
	agent  string
}

// maxAnswer bounds what is read of an answer: with filter_path a document has some 40 bytes,
// and some hundreds if it is refused.
const maxAnswer = 64 << 20

var _ esapi.Transport = (*client)(nil)

// Perform implements [esapi.Transport]: a request that has a path only gets the address and
// the credentials. An answer that is no success is a [*keyless.Error].
func (c *client) Perform(r *http.Request) (_ *http.Response, err error) {
	if r.URL, err = url.Parse(strings.TrimSuffix(c.config.ClientConfig.Endpoint, "/") + r.URL.RequestURI()); err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", c.agent)
	if err := errors.Join(c.authorize(r), detach(r)); err != nil {
		return nil, err
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	response.Body = bounded{io.LimitReader(response.Body, maxAnswer), response.Body}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return nil, refusal(response, text)
}

// detach gives the request a body that nobody else has: net/http may still read it when the
// answer is there, and the indexer then clears its buffer.
func detach(r *http.Request) (err error) {
	if r.GetBody != nil {
		r.Body, err = r.GetBody()
	}
	return err
}

// bounded is a body of which only so much is read.
type bounded struct {
	io.Reader
	io.Closer
}

// authorize sets the header that the configuration asks for; an extension has its own way.
func (c *client) authorize(r *http.Request) error {
	if c.config.User != "" {
		password, err := secret(string(c.config.Password), c.config.PasswordFile)
		if err == nil {
			r.SetBasicAuth(c.config.User, password)
		}
		return err
	}
	if c.config.APIKey == "" && c.config.APIKeyFile == "" {
		return nil
	}
	key, err := secret(string(c.config.APIKey), c.config.APIKeyFile)
	if strings.Contains(key, ":") {
		key = base64.StdEncoding.EncodeToString([]byte(key))
	}
	r.Header.Set("Authorization", "ApiKey "+key)
	return err
}

// secret reads the file if there is one.
func secret(value, path string) (string, error) {
	if path == "" {
		return value, nil
	}
	text, err := os.ReadFile(path)
	value = strings.TrimSpace(string(text))
	if err == nil && value == "" {
		err = fmt.Errorf("%s is empty", path)
	}
	return value, err
}

// refusal makes the one error of an answer: what was said, and what to do about it.
func refusal(response *http.Response, text []byte) error {
	var said struct {
		Error itemError `json:"error"`
	}
	e := &keyless.Error{
		Hop: keyless.HopDelivery, Op: response.Request.Method + " " + response.Request.URL.Path, Code: fmt.Sprint(response.StatusCode),
		Message: http.StatusText(response.StatusCode), Hint: hint(response.StatusCode), Temporary: true,
		RetryAfter: reply.RetryAfter(response.Header, time.Now()),
	}
	if json.Unmarshal(text, &said) == nil && said.Error.Type != "" {
		e.Message = reply.Printable(said.Error.Type+": "+said.Error.Reason, 500)
	}
	return e
}

func hint(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "look at the API key or the password; documents are kept until they are right"
	case http.StatusForbidden:
		return "the API key or the role needs create_doc and auto_configure on the data stream, and manage_index_templates if setup is to make templates"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "look at the endpoint: is it that of Elasticsearch, and not of Kibana?"
	}
	return ""
}

// statusOf is the HTTP status in an error; 0: there was no answer.
func statusOf(err error) int {
	var e *keyless.Error
	status := 0
	if errors.As(err, &e) {
		_, _ = fmt.Sscan(e.Code, &status)
	}
	return status
}
