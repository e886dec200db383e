package azhost

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
)

const opWorkloadIdentity = "workload identity"

var (
	_ keyless.TokenSource = WorkloadIdentity{}
	_ keyless.Refresher   = WorkloadIdentity{}
)

// WorkloadIdentity is the service account of a Kubernetes pod, in AKS or any
// cluster whose issuer Entra can reach ("Use Microsoft Entra Workload ID with
// Azure Kubernetes Service", Microsoft Learn). The fields are what its webhook
// puts into the environment of a pod with the label azure.workload.identity/use.
type WorkloadIdentity struct {
	Resource string // the App ID URI that the token is for, without /.default

	TenantID string // AZURE_TENANT_ID
	ClientID string // AZURE_CLIENT_ID, of a managed identity or an application
	// TokenFile is AZURE_FEDERATED_TOKEN_FILE. It is read anew for each token: the
	// kubelet replaces it before it runs out.
	TokenFile string

	Authority string       // AZURE_AUTHORITY_HOST; zero: that of the public cloud
	Client    *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (w WorkloadIdentity) assertion() entra.Assertion {
	return entra.Assertion{
		TenantID: w.TenantID, ClientID: w.ClientID, File: w.TokenFile,
		Scope: entra.Scope(w.Resource), Authority: w.Authority, Client: w.Client,
	}
}

// Validate checks the fields, and reads no file.
func (w WorkloadIdentity) Validate() error {
	if err := checkResource(w.Resource); err != nil {
		return err
	}
	if w.TokenFile == "" {
		return errors.New("no token file")
	}
	return w.assertion().Validate()
}

// Token asks for a token.
func (w WorkloadIdentity) Token(ctx context.Context) (keyless.Token, error) {
	return w.Refresh(ctx, keyless.Token{}, "")
}

// Refresh asks for another token that meets the claims challenge, if there is one.
func (w WorkloadIdentity) Refresh(ctx context.Context, refused keyless.Token, claims string) (keyless.Token, error) {
	if err := w.Validate(); err != nil {
		return keyless.Token{}, endpoint{op: opWorkloadIdentity}.wrong(err)
	}
	token, err := w.assertion().Refresh(ctx, refused, claims)
	return token, w.explain(err)
}

// explain says what an error means in a pod.
func (w WorkloadIdentity) explain(err error) error {
	var e *keyless.Error
	if !errors.As(err, &e) {
		return err
	}
	own := *e
	own.Op = opWorkloadIdentity
	switch {
	case errors.Is(err, fs.ErrNotExist):
		own.Hint = "the service account's token is not mounted; has the pod the label azure.workload.identity/use: \"true\", and was it started after the webhook was installed?"
	case errors.Is(err, fs.ErrPermission):
		own.Hint = "the program's user may not read the service account's token; set securityContext.fsGroup of the pod"
	case e.Code == "AADSTS700211" || e.Code == "AADSTS700213":
		own.Hint = "a federated credential needs the cluster's issuer (az aks show --query oidcIssuerProfile.issuerUrl), slash included, and system:serviceaccount:NAMESPACE:NAME as the subject"
	}
	return &own
}
