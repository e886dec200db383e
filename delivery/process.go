// Package delivery hands credentials over in the forms that programs understand.
package delivery

import (
	"encoding/json"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// process is the answer of a credential process (AWS SDKs and Tools Reference Guide,
// "Process credential provider").
type process struct {
	Version         int
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string `json:",omitempty"`
	Expiration      string `json:",omitempty"`
	AccountID       string `json:"AccountId,omitempty"`
}

// Process returns credentials as one JSON object in the credential_process format,
// with a line end. The expiry is UTC with a Z and without a fraction: some SDKs read
// no other form.
func Process(c keyless.Credentials) ([]byte, error) {
	document := process{
		Version:         1,
		AccessKeyID:     c.AccessKeyID,
		SecretAccessKey: c.SecretAccessKey.Reveal(),
		SessionToken:    c.SessionToken.Reveal(),
		AccountID:       c.AccountID,
	}
	if c.AccessKeyID == "" || document.SecretAccessKey == "" {
		return nil, &keyless.Error{Hop: keyless.HopDelivery, Op: "credential_process", Message: "the credentials are empty"}
	}
	if !c.Expiry.IsZero() {
		document.Expiration = c.Expiry.UTC().Truncate(time.Second).Format(time.RFC3339)
	}
	data, err := json.Marshal(document)
	return append(data, '\n'), err
}

// ReadProcess reads what [Process] wrote. Its error repeats nothing of the document.
func ReadProcess(document []byte) (keyless.Credentials, error) {
	var p process
	if err := json.Unmarshal(document, &p); err != nil || p.Version != 1 || p.AccessKeyID == "" || p.SecretAccessKey == "" {
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopDelivery, Op: "credential_process", Message: "the document holds no credentials"}
	}
	c := keyless.Credentials{
		AccessKeyID: p.AccessKeyID, SecretAccessKey: keyless.NewSecret(p.SecretAccessKey), SessionToken: keyless.NewSecret(p.SessionToken), AccountID: p.AccountID,
	}
	if p.Expiration == "" {
		return c, nil
	}
	expiry, err := time.Parse(time.RFC3339, p.Expiration)
	if err != nil {
		return keyless.Credentials{}, &keyless.Error{Hop: keyless.HopDelivery, Op: "credential_process", Message: "the document's Expiration is no time"}
	}
	c.Expiry = expiry
	return c, nil
}
