package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/profile"
)

// logsPreset is the route whose rows may be dropped behind the endpoint.
const logsPreset = "azure-logs-ingestion"

// errorsQuery asks what became of rows that an endpoint took ("Monitor DCR data
// collection in Azure Monitor", Microsoft Learn; the names of the columns are unverified).
const errorsQuery = "DCRLogErrors | where TimeGenerated > ago(1d) | summarize Count=count() by OperationName, InputStreamId, Message | top 5 by Count"

// losses is what the workspace says of rows that were taken and not stored.
type losses struct {
	asked  bool
	status int
	errors []string // what went wrong, and how often
	err    error
}

// askLosses reads DCRLogErrors with the profile's identity.
func (e *evidence) askLosses(ctx context.Context) losses {
	i := slices.IndexFunc(e.Routes, func(r profile.Route) bool { return r.Preset == logsPreset })
	if e.Workspace == "" || i < 0 {
		return losses{}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	l := losses{asked: true}
	api := queryAPI(e.Routes[i].Upstream)
	if !pattern.GUID(e.Workspace) {
		l.err = errors.New("the workspace's id is no GUID")
		return l
	}
	token, err := e.tokenFor(ctx, api)
	if err != nil {
		l.err = err
		return l
	}
	return e.query(ctx, api+"/v1/workspaces/"+e.Workspace+"/query", token)
}

// queryAPI is the query API of Log Analytics in the cloud of an endpoint ("Azure Monitor
// Log Analytics API", Microsoft Learn; those of national clouds are unverified).
func queryAPI(upstream string) string {
	parsed, err := url.Parse(upstream)
	switch {
	case err == nil && strings.HasSuffix(parsed.Hostname(), ".us"):
		return "https://api.loganalytics.us"
	case err == nil && strings.HasSuffix(parsed.Hostname(), ".cn"):
		return "https://api.loganalytics.azure.cn"
	}
	return "https://api.loganalytics.azure.com"
}

// tokenFor is a token of the same identity for another audience.
func (e *evidence) tokenFor(ctx context.Context, audience string) (keyless.Token, error) {
	other := *e.Profile
	other.Audience, other.Scope, other.ExpectedAud, other.AWS = audience, "", "", nil
	other.Far.Around = e.seen.wrap
	built, err := other.Build(e.Getenv)
	if err != nil {
		return keyless.Token{}, err
	}
	return built.Source.Token(ctx)
}

func (e *evidence) query(ctx context.Context, address string, token keyless.Token) losses {
	l := losses{asked: true}
	body, err := json.Marshal(map[string]string{"query": errorsQuery})
	if err != nil {
		l.err = err
		return l
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		l.err = err
		return l
	}
	request.Header.Set("Authorization", "Bearer "+token.Value.Reveal())
	request.Header.Set("Content-Type", "application/json")
	answer, err := wire.Do(e.cloud, request)
	if err != nil {
		l.err = err
		return l
	}
	l.status = answer.Status
	if answer.Status != http.StatusOK {
		code, message := refusalOf(answer, token.Value.Reveal())
		l.err = errors.New(strings.TrimSpace(fmt.Sprintf("the workspace answers %d %s %s", answer.Status, code, message)))
		return l
	}
	l.errors, l.err = tableLines(answer.Body, token.Value.Reveal())
	return l
}

// tableLines reads the rows of an answer ("Azure Monitor Log Analytics API response
// format", Microsoft Learn), a line each.
func tableLines(body []byte, secrets ...string) ([]string, error) {
	var answer struct {
		Tables []struct {
			Columns []struct{ Name string }
			Rows    [][]any
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Tables) == 0 {
		return nil, errors.New("the workspace answers no table")
	}
	var all []string
	table := answer.Tables[0]
	for _, row := range table.Rows {
		var cells []string
		for i, value := range row[:min(len(row), len(table.Columns))] {
			cells = append(cells, table.Columns[i].Name+"="+fmt.Sprint(value))
		}
		all = append(all, wire.Quote(strings.Join(cells, " "), secrets...))
	}
	return all, nil
}

// droppedRows is about rows that the endpoint took, and nobody stored: its 204 does not
// say ("Monitor DCR data collection in Azure Monitor", Microsoft Learn).
func (e *evidence) droppedRows() Finding {
	if !slices.ContainsFunc(e.Routes, func(r profile.Route) bool { return r.Preset == logsPreset }) || e.tokenErr != nil || e.buildErr != nil {
		return Finding{}
	}
	const ask = "az monitor log-analytics query --workspace WORKSPACE_ID --analytics-query '" + errorsQuery + "'"
	f := Finding{Check: "dropped rows", Hop: keyless.HopDelivery, Verdict: OK, Summary: "the workspace says of no row that it was dropped in the last day"}
	switch l := e.losses; {
	case !l.asked:
		f.Verdict, f.Code, f.Summary = Skipped, "log-errors-unread", "whether rows are dropped behind the endpoint was not read: nobody said which workspace has DCRLogErrors"
		f.Fix = lines("switch on the category Log Errors in the rule's diagnostic settings, and name the workspace with --workspace; or ask as somebody who may read it", ask)
	case l.status == http.StatusBadRequest:
		f.Verdict, f.Code, f.Summary, f.Evidence = Skipped, "log-errors-unread", "the workspace has no DCRLogErrors", []string{clean(l.err.Error())}
		f.Fix = lines("switch on the category Log Errors in the rule's diagnostic settings", `az monitor diagnostic-settings create --name rule-errors --resource RULE_RESOURCE_ID --workspace WORKSPACE_RESOURCE_ID --logs '[{"category":"LogErrors","enabled":true}]'`)
	case l.err != nil:
		f.Verdict, f.Code, f.Summary, f.Evidence = Skipped, "log-errors-unread", "the workspace could not be read", []string{clean(l.err.Error())}
		f.Fix = lines("the identity needs the role Log Analytics Reader on the workspace; or ask as somebody who has it",
			"az role assignment create --role 'Log Analytics Reader' --assignee-principal-type ServicePrincipal --assignee-object-id "+quoted(e.claims.ObjectID)+" --scope WORKSPACE_RESOURCE_ID", ask)
	case len(l.errors) > 0:
		f.Verdict, f.Code, f.Summary, f.Evidence = Failed, "rows-dropped", "rows that the endpoint took were dropped behind it", l.errors
		f.Fix = lines("correct what the agents send, or the rule's transformation: columns must have the names and types of the stream", ask)
	}
	return f
}
