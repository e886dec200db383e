package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// credentialBody is a federated identity credential of Graph.
type credentialBody struct {
	ID          string    `json:"id"`
	Name        *string   `json:"name"`
	Issuer      *string   `json:"issuer"`
	Subject     *string   `json:"subject"`
	Audiences   *[]string `json:"audiences"`
	Description *string   `json:"description"`
}

func (b *credentialBody) apply(k *credential) {
	set(&k.Name, b.Name)
	set(&k.Issuer, b.Issuer)
	set(&k.Subject, b.Subject)
	set(&k.description, b.Description)
	if b.Audiences != nil {
		k.Audience = strings.Join(*b.Audiences, " ") // more than one is refused
	}
}

func (k credential) show() object {
	return object{
		"id": k.id, "name": k.Name, "issuer": k.Issuer, "subject": k.Subject, "audiences": []string{k.Audience}, "description": k.description,
	}
}

// flaw says what is wrong with a credential: "federatedIdentityCredential resource type".
func (k credential) flaw() string {
	for property, value := range map[string]string{"name": k.Name, "issuer": k.Issuer, "subject": k.Subject, "audiences": k.Audience} {
		if value == "" || len(value) > 600 || strings.ContainsAny(value, " \t\r\n") {
			return fmt.Sprintf("Invalid value specified for property '%s' of resource 'FederatedIdentityCredential'.", property)
		}
	}
	if len(k.Name) < 3 || len(k.Name) > 120 || strings.Trim(k.Name[:1], "-_") == "" || !consistsOf(k.Name, func(r rune) bool { return isNameRune(r) && !strings.ContainsRune("+=,.@", r) }) {
		return "Invalid value specified for property 'name' of resource 'FederatedIdentityCredential'."
	}
	return ""
}

// find is the place of the credential that the path names by id or name.
func (c *graphCall) find(list []credential) (int, *telemetryError) {
	key := c.path[1].key
	at := slices.IndexFunc(list, func(k credential) bool { return strings.EqualFold(k.id, key) || k.Name == key })
	if at < 0 {
		return 0, notInGraph(key)
	}
	return at, nil
}

func (c *graphCall) listCredentials() (int, any, *telemetryError) {
	a, refusal := c.application()
	if refusal != nil {
		return 0, nil, refusal
	}
	var all []object
	for _, k := range a.credentials {
		all = append(all, k.show())
	}
	return c.list(all)
}

func (c *graphCall) createCredential() (int, any, *telemetryError) {
	var body credentialBody
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	k := credential{id: randomGUID()}
	body.apply(&k)
	if refusal := c.editApplication(func(_ *directory, a *application) *telemetryError { return a.store(k) }); refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusCreated, k.show())
}

// store is the writing of a credential; the code for too many is unverified.
func (a *application) store(k credential) *telemetryError {
	if flaw := k.flaw(); flaw != "" {
		return badGraph("%s", flaw)
	}
	list, conflict := withCredential(a.credentials, k)
	switch {
	case conflict != "":
		return refuse(http.StatusConflict, "", "%s", conflict)
	case len(list) > maxCredentials:
		return refuse(http.StatusForbidden, "Directory_QuotaExceeded", "The limit of %d federated identity credentials on an application is reached.", maxCredentials)
	}
	a.credentials = list
	return nil
}

func (c *graphCall) getCredential() (int, any, *telemetryError) {
	a, refusal := c.application()
	if refusal != nil {
		return 0, nil, refusal
	}
	at, refusal := c.find(a.credentials)
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusOK, a.credentials[at].show())
}

// updateCredential leaves the name: it cannot be changed.
func (c *graphCall) updateCredential() (int, any, *telemetryError) {
	var body credentialBody
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	return http.StatusNoContent, nil, c.editApplication(func(_ *directory, a *application) *telemetryError {
		at, refusal := c.find(a.credentials)
		if refusal != nil {
			return refusal
		}
		k := a.credentials[at]
		if body.Name != nil && *body.Name != k.Name {
			return badGraph("Property 'name' is read-only and cannot be set.") // unverified wording
		}
		body.apply(&k)
		return a.store(k)
	})
}

func (c *graphCall) deleteCredential() (int, any, *telemetryError) {
	return http.StatusNoContent, nil, c.editApplication(func(_ *directory, a *application) *telemetryError {
		at, refusal := c.find(a.credentials)
		if refusal == nil {
			a.credentials = slices.Delete(slices.Clone(a.credentials), at, at+1)
		}
		return refusal
	})
}
