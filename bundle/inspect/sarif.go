package inspect

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"

	"fx/bundle/inspect/finding"
)

// SARIF 2.1.0 (OASIS), the parts that we write. The names are the standard's.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Artifacts   []sarifArtifact   `json:"artifacts"`
		Results     []sarifResult     `json:"results"`
		ColumnKind  string            `json:"columnKind"`
		Properties  map[string]any    `json:"properties"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string         `json:"id"`
		Short   sarifText      `json:"shortDescription"`
		Help    sarifText      `json:"help"`
		Default sarifLevel     `json:"defaultConfiguration"`
		Props   map[string]any `json:"properties"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level   string    `json:"level"`
		Message sarifText `json:"message"`
	}
	sarifArtifact struct {
		Location sarifURI          `json:"location"`
		Length   int64             `json:"length"`
		Hashes   map[string]string `json:"hashes"`
	}
	sarifURI struct {
		URI string `json:"uri"`
	}
	sarifResult struct {
		RuleID       string            `json:"ruleId"`
		RuleIndex    *int              `json:"ruleIndex,omitempty"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations,omitempty"`
		Fingerprints map[string]string `json:"partialFingerprints"`
		State        string            `json:"baselineState,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifURI     `json:"artifactLocation"`
		Region   *sarifRegion `json:"region,omitempty"`
	}
	sarifRegion struct {
		StartLine int        `json:"startLine"`
		Snippet   *sarifText `json:"snippet,omitempty"`
	}
)

var sarifLevels = map[finding.Severity]string{finding.High: "error", finding.Medium: "warning", finding.Low: "note", finding.Info: "note"}

// SARIF writes the findings and notes as a SARIF 2.1.0 log, for tools that show
// findings in code. With a baseline each says whether it is new.
func (r *Report) SARIF(w io.Writer) error {
	run := sarifRun{
		Tool: sarifTool{Driver: sarifDriver{Name: "fxctl", Rules: []sarifRule{}}}, ColumnKind: "unicodeCodePoints",
		Invocations: []sarifInvocation{{Successful: true}}, Results: []sarifResult{}, Artifacts: []sarifArtifact{},
		Properties: map[string]any{"bundleId": r.BundleID, "approved": r.Decision.Approved, "verdict": finding.Clean(Verdict(r.Decision)), "factsSha256": r.FactsSHA256},
	}
	index := map[string]int{}
	for i, rule := range finding.Rules() {
		index[rule.ID] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{
			ID: rule.ID, Short: sarifText{rule.Means}, Help: sarifText{"What it does not mean: " + rule.Not},
			Default: sarifLevel{sarifLevels[rule.Severity]}, Props: map[string]any{"severity": rule.Severity},
		})
	}
	if !r.Decision.Approved {
		run.Invocations[0].Notifications = []sarifNotification{{"warning", sarifText{finding.Clean(Verdict(r.Decision))}}}
	}
	for _, f := range r.Files {
		run.Artifacts = append(run.Artifacts, sarifArtifact{sarifURI{uri(f.Path)}, f.Size, map[string]string{"sha-256": f.SHA256}})
	}
	fresh := map[string]bool{}
	if r.Changes != nil {
		for _, f := range r.Changes.Findings.New {
			fresh[f.Fingerprint] = true
		}
	}
	for _, f := range r.All() {
		res := sarifResult{RuleID: f.Rule, Level: sarifLevels[f.Severity], Message: sarifText{f.Message}, Fingerprints: map[string]string{"fx/v1": f.Fingerprint}}
		if i, ok := index[f.Rule]; ok {
			res.RuleIndex = &i
		}
		if f.Path != "" {
			at := sarifPhysical{Artifact: sarifURI{uri(f.Path)}}
			if f.Line > 0 {
				at.Region = &sarifRegion{StartLine: f.Line}
				if f.Code != "" {
					at.Region.Snippet = &sarifText{f.Code}
				}
			}
			res.Locations = []sarifLocation{{at}}
		}
		if r.Changes != nil {
			res.State = "unchanged"
			if fresh[f.Fingerprint] {
				res.State = "new"
			}
		}
		run.Results = append(run.Results, res)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}

// uri is a path inside the bundle as a relative URI.
func uri(path string) string { return (&url.URL{Path: path}).EscapedPath() }
