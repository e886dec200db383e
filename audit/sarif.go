package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"path/filepath"
	"strings"
)

// SARIF returns the report as a log of the Static Analysis Results Interchange Format,
// version 2.1.0 (OASIS), with what GitHub's code scanning reads beyond it. tool is the
// version of the program.
func (r Report) SARIF(tool string) ([]byte, error) {
	run := sarifRun{
		Tool: sarifTool{Driver: sarifDriver{
			Name: "keyless audit", Version: tool, InformationURI: "https://github.com/keyless-id/keyless", Rules: sarifRules(),
		}},
		Invocations: []sarifInvocation{{ExecutionSuccessful: len(r.Unjudged) == 0, Notifications: r.notifications()}},
		Results:     []sarifResult{},
	}
	index := map[string]int{}
	for i, rule := range run.Tool.Driver.Rules {
		index[rule.ID] = i
	}
	for _, f := range r.Findings {
		run.Results = append(run.Results, f.sarif(index[f.Rule]))
	}
	return json.MarshalIndent(sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run},
	}, "", "  ")
}

type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string          `json:"id"`
		ShortDescription sarifText       `json:"shortDescription"`
		FullDescription  sarifText       `json:"fullDescription"`
		HelpURI          string          `json:"helpUri"`
		Default          sarifLevel      `json:"defaultConfiguration"`
		Properties       sarifProperties `json:"properties"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifProperties struct {
		SecuritySeverity string   `json:"security-severity"`
		Tags             []string `json:"tags,omitempty"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    int               `json:"ruleIndex"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		Properties   sarifFix          `json:"properties"`
	}
	sarifFix struct {
		SecuritySeverity string `json:"security-severity"`
		Diff             string `json:"diff,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			StartLine int `json:"startLine"`
		} `json:"region"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

func sarifRules() []sarifRule {
	var rules []sarifRule
	for _, r := range Rules() {
		rules = append(rules, sarifRule{
			ID: r.ID, ShortDescription: sarifText{r.Title}, FullDescription: sarifText{r.Why}, HelpURI: r.Source,
			Default: sarifLevel{r.Severity.level()}, Properties: sarifProperties{r.Severity.score(), []string{"security", "iam"}},
		})
	}
	return rules
}

// level is what SARIF has for a severity.
func (s Severity) level() string {
	switch s {
	case Low:
		return "note"
	case Medium:
		return "warning"
	}
	return "error"
}

// score is on the scale of CVSS, by which GitHub says critical, high, medium or low.
func (s Severity) score() string {
	switch s {
	case Low:
		return "3.0"
	case Medium:
		return "5.5"
	case High:
		return "8.0"
	}
	return "9.5"
}

func (f Finding) sarif(index int) sarifResult {
	result := sarifResult{
		RuleID: f.Rule, RuleIndex: index, Level: f.Severity.level(), Message: sarifText{f.Title + ": " + f.Why + ". To do: " + f.Advice + "."},
		Fingerprints: map[string]string{"keyless/v1": f.fingerprint()},
		Properties:   sarifFix{f.Severity.score(), f.Fix()},
	}
	if l, ok := locate(f.File, f.Line, f.Place()); ok {
		result.Locations = []sarifLocation{l}
	}
	return result
}

// fingerprint stays the same while the finding does, wherever in its file it moves.
func (f Finding) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.Rule, f.Role, f.Provider, f.Sid, f.Why}, "\x1f")))
	return hex.EncodeToString(sum[:16])
}

// locate returns a place in a file, in a role, or in both; false: neither is known.
func locate(file string, line int, place string) (sarifLocation, bool) {
	var l sarifLocation
	if file != "" && file != "-" {
		l.Physical = &sarifPhysical{}
		l.Physical.Artifact.URI = (&url.URL{Path: filepath.ToSlash(file)}).String()
		l.Physical.Region.StartLine = max(1, line)
	}
	if place != "" {
		l.Logical = []sarifLogical{{place}}
	}
	return l, l.Physical != nil || l.Logical != nil
}

func (r Report) notifications() []sarifNotification {
	var all []sarifNotification
	for _, u := range r.Unjudged {
		n := sarifNotification{Level: "warning", Message: sarifText{"not judged: " + u.Why}}
		if l, ok := locate(u.File, 0, u.Role); ok {
			n.Locations = []sarifLocation{l}
		}
		all = append(all, n)
	}
	return all
}
