package elasticsearchexporter

import (
	"bytes"
	"context"
	_ "embed" // the templates
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/elastic/go-elasticsearch/v9/esapi"
	"go.uber.org/zap"
)

// The index templates, for people to put by hand as well: index_patterns and priority are
// what the exporter changes.
//
//go:embed templates/tsds.json
var tsdsTemplate []byte

//go:embed templates/plain.json
var plainTemplate []byte

// prepare puts the templates before the first document: a data stream that is there already
// does not change.
func (e *bulkExporter) prepare(ctx context.Context) error {
	if e.ready.Load() {
		return nil
	}
	for _, dataset := range e.datasets() {
		if err := e.putTemplates(ctx, dataset); err != nil {
			return fmt.Errorf("setup of templates: %w", err)
		}
	}
	e.ready.Store(true)
	e.set.Logger.Info("The index templates are there.", zap.Strings("datasets", e.datasets()))
	return nil
}

func (e *bulkExporter) datasets() []string {
	suffix := ""
	if e.config.Mapping == OTel {
		suffix = ".otel"
	}
	if name := e.config.DataStream.Dataset; name != "" {
		return []string{name + suffix}
	}
	return []string{datasetEC2 + suffix, datasetCloudWatch + suffix, datasetOther + suffix}
}

// putTemplates makes the data streams of a dataset ("Create or update an index template").
func (e *bulkExporter) putTemplates(ctx context.Context, dataset string) error {
	if e.config.Setup.Templates == "plain" {
		return e.putTemplate(ctx, dataset, plainTemplate)
	}
	if err := e.putTemplate(ctx, dataset, tsdsTemplate); err != nil {
		return err
	}
	return e.putTemplate(ctx, dataset+late, plainTemplate)
}

func (e *bulkExporter) putTemplate(ctx context.Context, dataset string, file []byte) error {
	var template map[string]any
	if err := json.Unmarshal(file, &template); err != nil {
		return err
	}
	template["index_patterns"] = []string{"metrics-" + dataset + "-*"}
	body, err := json.Marshal(template)
	if err != nil {
		return err
	}
	name := url.PathEscape("keyless-metrics-" + dataset)
	response, err := esapi.IndicesPutIndexTemplateRequest{Name: name, Body: bytes.NewReader(body)}.Do(ctx, &e.client)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
