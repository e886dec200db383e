package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/keyless-id/keyless/sandbox"
)

func ExampleNew() {
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: s.RoundTripper()}
	response, err := client.PostForm("https://login.microsoftonline.com/"+sandbox.DemoTenantID+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {sandbox.DemoAppClientID},
		"client_secret": {"wrong"}, "scope": {sandbox.DemoAudience + "/.default"},
	})
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(err)
	}
	fmt.Println(response.StatusCode, string(body[len(body)-30:]) != "")
	for _, event := range s.Log() {
		fmt.Println(event.Hop, event.Op, event.Outcome)
	}
	// Output:
	// 401 true
	// entra token AADSTS7000215
}
