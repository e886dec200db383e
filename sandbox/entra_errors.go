package sandbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// entraError is a refusal by the token endpoint: "Microsoft Entra
// authentication and authorization error codes" for the numbers, RFC 6749 §5.2
// for the form.
type entraError struct {
	code    int
	status  int
	name    string // the error member
	message string
}

func badRequest(code int, name, format string, args ...any) *entraError {
	return &entraError{code, http.StatusBadRequest, name, fmt.Sprintf(format, args...)}
}

func badClient(code int, format string, args ...any) *entraError {
	return &entraError{code, http.StatusUnauthorized, "invalid_client", fmt.Sprintf(format, args...)}
}

func noTenant(id string) *entraError {
	return badRequest(90002, "invalid_request", "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", printable(id))
}

func missingParameter(name string) *entraError {
	return badRequest(900144, "invalid_request", "The request body must contain the following parameter: '%s'.", name)
}

func unknownClient(id string, t *tenant) *entraError {
	return badRequest(700016, "unauthorized_client", "Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", printable(id), t.ID)
}

func disabledClient(app *registration) *entraError {
	return badRequest(7000112, "unauthorized_client", "Application '%s'(%s) is disabled.", app.ClientID, printable(app.Name))
}

func disabledResource(resource *target) *entraError {
	return badRequest(500014, "invalid_resource", "The service principal for resource '%s' is disabled. This indicate that a subscription within the tenant has lapsed, or that the administrator for this tenant has disabled the application, preventing tokens from being issued for it.", printable(resource.requested))
}

func wrongSecret(app *App) *entraError {
	return badClient(7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", app.ClientID)
}

func expiredSecret(app *App) *entraError {
	return badClient(7000222, "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app, or consider using certificate credentials for added security.", app.ClientID)
}

func noCredential() *entraError {
	return badClient(7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
}

func unknownResource(resource string, t *tenant) *entraError {
	return badRequest(500011, "invalid_resource", "The resource principal named %s was not found in the tenant named %s. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.", printable(resource), t.ID)
}

func noDefaultScope(scope string) *entraError {
	return badRequest(1002012, "invalid_scope", "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", printable(scope))
}

func badScope(scope string) *entraError {
	return badRequest(70011, "invalid_scope", "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope %s is not valid.", printable(scope))
}

func notAssigned(p principal, resource *target) *entraError {
	return badRequest(501051, "invalid_grant", "Application '%s'(%s) is not assigned to a role for the application '%s'(%s).", p.clientID, printable(p.name()), resource.requested, printable(resource.name))
}

// entraFault makes an error of what a test asked for.
func entraFault(f *Fault) *entraError {
	code, _ := strconv.Atoi(strings.TrimPrefix(f.Code, "AADSTS"))
	known := map[int]*entraError{
		7000215: {7000215, 401, "invalid_client", "Invalid client secret provided."},
		7000222: {7000222, 401, "invalid_client", "The provided client secret keys are expired."},
		700016:  {700016, 400, "unauthorized_client", "Application was not found in the directory."},
		700024:  {700024, 401, "invalid_client", "Client assertion is not within its valid time range."},
		700027:  {700027, 401, "invalid_client", "Client assertion failed signature validation."},
		70021:   {70021, 401, "invalid_client", "No matching federated identity record found for presented assertion."},
		700211:  {700211, 401, "invalid_client", "No matching federated identity record found for presented assertion issuer."},
		700212:  {700212, 401, "invalid_client", "No matching federated identity record found for presented assertion audience."},
		700213:  {700213, 401, "invalid_client", "No matching federated identity record found for presented assertion subject."},
		500011:  {500011, 400, "invalid_resource", "The resource principal was not found in the tenant."},
		501051:  {501051, 400, "invalid_grant", "The application is not assigned to a role for the resource."},
		700223:  {700223, 400, "invalid_request", "Workload identity federation is disabled by the policy of the tenant."},
		700231:  {700231, 400, "invalid_request", "The federated identity credential is not allowed by policy."},
		700238:  {700238, 400, "invalid_request", "Workload identity federation is constrained by the policy of the tenant."},
		70052:   {70052, 400, "invalid_request", "The identity must be a managed identity, a single-tenant app or a service account."},
		53003:   {53003, 400, "invalid_grant", "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."},
		50166:   {50166, 400, "invalid_request", "Request to External OIDC endpoint failed."},
		90061:   {90061, 400, "invalid_request", "Request to External OIDC endpoint failed."},
		50196:   {50196, 400, "invalid_grant", "The server terminated an operation because it encountered a client request loop. Please contact your app vendor."},
	}[code]
	if known == nil {
		known = &entraError{code, 0, "invalid_request", "The request could not be served."}
	}
	if code == 0 || code == 90033 || f.Status == http.StatusTooManyRequests || f.Status >= 500 {
		known = &entraError{orCode(code, 90033), http.StatusServiceUnavailable, "temporarily_unavailable", "A transient error has occurred. Please try again."}
	}
	known.status = orStatus(f.Status, orStatus(known.status, http.StatusBadRequest))
	return known
}

func orCode(code, fallback int) int { return orStatus(code, fallback) }

// writeEntraError sends the refusal in Entra's form and notes it.
func (s *Sandbox) writeEntraError(w http.ResponseWriter, r *http.Request, e *entraError) {
	correlation := r.Header.Get("client-request-id")
	if len(correlation) > 64 || correlation == "" || correlation != printable(correlation) {
		correlation = randomGUID()
	}
	trace := randomGUID()
	timestamp := s.now(Entra).UTC().Format("2006-01-02 15:04:05Z")
	event := Event{Hop: actualHop(Entra, r), Op: "token", Outcome: fmt.Sprintf("AADSTS%d", e.code)}
	if event.Hop == Keys {
		event.Op = "discovery"
	}
	s.record(event)
	w.Header().Set("x-ms-request-id", trace)
	w.Header().Set("client-request-id", correlation)
	w.Header().Set("Cache-Control", "no-store, no-cache")
	writeJSON(w, e.status, map[string]any{
		"error": e.name,
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			e.code, e.message, trace, correlation, timestamp),
		"error_codes":    []int{e.code},
		"timestamp":      timestamp,
		"trace_id":       trace,
		"correlation_id": correlation,
		"error_uri":      fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", e.code),
	})
}

// printable keeps what a message repeats of a request on one short line.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return text
}
