package check

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"fx/schema"
)

var update = flag.Bool("update", false, "write the key reference of docs/plan.md")

const (
	docsFile       = "../../docs/plan.md"
	referenceBegin = "<!-- reference: generated from schema/plan.schema.json by `go test ./schema/check -run Reference -update` -->\n"
	referenceEnd   = "<!-- end of reference -->\n"
)

// The key reference in docs/plan.md is what the JSON Schema says.
func TestReferenceIsCurrent(t *testing.T) {
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(data), referenceBegin)
	got, after, ends := strings.Cut(rest, referenceEnd)
	if !begins || !ends {
		t.Fatalf("%s has no reference between its two marks", docsFile)
	}
	want := reference()
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the key reference in %s is not that of the schema: run go test ./schema/check -run Reference -update", docsFile)
	}
	if err := os.WriteFile(docsFile, []byte(before+referenceBegin+want+referenceEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every key of the schema says what it means and since when it is there.
func TestReferenceIsComplete(t *testing.T) {
	text := reference()
	for _, section := range schema.Sections() {
		if !strings.Contains(text, "\n### "+section+"\n") {
			t.Errorf("the reference has no section %q", section)
		}
	}
	rows := 0
	for row := range strings.Lines(text) {
		cells := strings.Split(row, " | ")
		if !strings.HasPrefix(row, "| `") || len(cells) != 5 {
			continue
		}
		rows++
		for i, cell := range cells {
			if strings.Trim(cell, "| \n") == "" {
				t.Errorf("column %d is empty: %s", i+1, row)
			}
		}
	}
	if rows < 70 {
		t.Errorf("the reference has only %d keys", rows)
	}
}

// reference is the key reference in Markdown.
func reference() string {
	var b strings.Builder
	required := stringsOf(schemaDocument()["required"])
	order := []string{"aggregator", "collaborator", "network", "assigner", "tasks", "task_runner", "data_loader", "compression_pipeline", "straggler_handling_policy"}
	for _, section := range schema.Sections() {
		if !slices.Contains(order, section) {
			order = append(order, section)
		}
	}
	for _, section := range order {
		def := definition(section)
		fmt.Fprintf(&b, "\n### %s\n\n%s%s\n", section, def["description"], map[bool]string{true: " Required.", false: " Optional."}[slices.Contains(required, section)])
		switch section {
		case "tasks":
			writeKeys(&b, "A task has the keys", keysIn(definition("task")))
			writeKeys(&b, "The `kwargs` of any task runner", keysIn(object(definition("task"), "properties", "kwargs")))
			writeFunctions(&b)
			writeTemplates(&b, "`aggregation_type`", definition("aggregationType"))
		default:
			writeSection(&b, section, def)
		}
		writeDefaultsFiles(&b, def)
	}
	return b.String() + "\n"
}

func writeSection(b *strings.Builder, section string, def map[string]any) {
	var direct []Key
	for _, k := range keysIn(def) {
		if !slices.Contains([]string{"template", "settings", "defaults"}, k.Name) {
			direct = append(direct, k)
		}
	}
	if len(direct) > 0 {
		writeKeys(b, "Its keys stand directly in the section", nested(def, "", "settings"))
		return
	}
	if len(branches(def)) == 0 {
		keys := Settings(section, "")
		for i := range keys {
			if slices.Contains(stringsOf(object(def, "else", "properties", "settings")["required"]), keys[i].Name) {
				keys[i].Default, keys[i].Required = "or from the defaults file", true
			}
		}
		writeKeys(b, fmt.Sprintf("`settings` of the template `%s`", templateOf(section)), keys)
		return
	}
	writeTemplates(b, "`template`", def)
	if strings.Contains(fmt.Sprint(object(def, "properties", "template")), "src") || section == "task_runner" {
		fmt.Fprintf(b, "\nA class of the workspace, `src.…`, and the classes of OpenFL get their `settings` as keyword arguments; fx does not know them.\n")
	}
}

// writeTemplates lists the settings of each class that a section may name.
func writeTemplates(b *strings.Builder, what string, def map[string]any) {
	var free []string
	for _, branch := range branches(def) {
		templates := stringsOf(object(branch, "if", "properties", "template")["enum"])
		if len(templates) == 0 {
			continue
		}
		settings := settingsOf(def, templates[0])
		keys := nested(settings, "")
		names := classes(templates)
		if len(keys) == 0 {
			free = append(free, names...)
			continue
		}
		note, _ := settings["description"].(string)
		writeKeys(b, fmt.Sprintf("%s `%s`. %s Its settings", what, strings.Join(names, "`, `"), note), keys)
	}
	if len(free) > 0 {
		fmt.Fprintf(b, "\n%s without settings: `%s`.\n", what, strings.Join(free, "`, `"))
	}
}

// writeFunctions lists the arguments of the built-in task runners' functions.
func writeFunctions(b *strings.Builder) {
	for _, branch := range branches(schemaDocument()) {
		runners := stringsOf(object(branch, "if", "properties", "task_runner", "properties", "template")["enum"])
		task := resolve(object(branch, "then", "properties", "tasks", "additionalProperties"))
		for _, f := range branches(task) {
			function, _ := object(f, "if", "properties", "function")["const"].(string)
			writeKeys(b, fmt.Sprintf("The `kwargs` of `%s` under `%s`", function, strings.Join(runners, "` and `")), Arguments(runners[0], function))
		}
	}
}

// nested lists the keys of an object, and those of the objects in it: in a list
// as list[].key, under free names as map.*.key.
func nested(def map[string]any, prefix string, without ...string) []Key {
	var out []Key
	for _, k := range keysIn(def) {
		if slices.Contains(without, k.Name) {
			continue
		}
		p := resolve(object(def, "properties", k.Name))
		k.Name = prefix + k.Name
		out = append(out, k)
		if _, named := object(def, "properties", strings.TrimPrefix(k.Name, prefix))["$ref"]; !named { // described where its name is
			out = append(out, nested(map[string]any{"properties": p["properties"], "required": p["required"]}, k.Name+".")...)
		}
		out = append(out, nested(resolve(object(p, "items")), k.Name+"[].")...)
		out = append(out, nested(resolve(object(p, "additionalProperties")), k.Name+".*.")...)
	}
	return out
}

func writeDefaultsFiles(b *strings.Builder, def map[string]any) {
	if files := stringsOf(object(def, "properties", "defaults")["enum"]); len(files) > 0 {
		fmt.Fprintf(b, "\n`defaults:` may name `%s`.\n", strings.Join(files, "`, `"))
	}
}

func writeKeys(b *strings.Builder, title string, keys []Key) {
	if len(keys) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n\n| key | type | default | since | meaning |\n| --- | --- | --- | --- | --- |\n", title)
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", k.Name, cell(k.Type, "any"), defaultText(k), sinceText(k), cell(meaningText(k), ""))
	}
}

func cell(text, fallback string) string {
	if text == "" {
		text = fallback
	}
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}

func defaultText(k Key) string {
	switch {
	case k.Required && k.Default != nil:
		return fmt.Sprintf("required, %s", k.Default)
	case k.Required:
		return "required"
	case k.Defaulted:
		return "`" + cell(jsonText(k.Default), "") + "`"
	}
	return "none"
}

func sinceText(k Key) string {
	switch {
	case k.Since == "":
		return "fx"
	case k.Until == k.Since:
		return k.Since + " only"
	case k.Until != "":
		return k.Since + " to " + k.Until
	}
	return k.Since
}

func meaningText(k Key) string {
	text := k.Meaning
	if k.Idle && !strings.Contains(text, "Not used") {
		text += " Not used by fx, but part of the hash."
	}
	if k.Use != "" {
		text += " `fxctl plan upgrade` rewrites it."
	}
	return text
}
