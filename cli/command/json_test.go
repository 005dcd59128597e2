package command

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"fx/bundle/inspect"
)

// TestJSONIsDocumented requires that every field that --json can print stands
// in the section "For scripts" of the command's page.
func TestJSONIsDocumented(t *testing.T) {
	for page, results := range map[string][]any{
		"ca.md": {caInitResult{}, caSignResult{}, caSignBatchResult{}, caListResult{}, caStatusResult{}, caRevokeResult{}, caCRLResult{}, caRotateResult{},
			caLogShowResult{}, caLogVerifyResult{}, caLogDocumentResult{}, caLogProveResult{}, caProposeResult{}, caApproveResult{}, caExportResult{}, caImportResult{}},
		"cert.md":    {certRequestResult{}, certRenewResult{}, certImportResult{}, certStatusResult{}, certInspectResult{}, certVerifyResult{}},
		"receipt.md": {receiptVerifyResult{}, receiptShowResult{}},
		"bundle.md":  {bundleCreateResult{}, inspect.Report{}, bundleApproveResult{}, bundleVerifyResult{}, bundleExtractResult{}},
	} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		_, section, _ := strings.Cut(string(text), "\n## For scripts\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, r := range results {
			for _, field := range jsonFields(reflect.TypeOf(r)) {
				if !strings.Contains(section, "`"+field+"`") {
					t.Errorf("docs/%s does not say that %T has the field %q", page, r, field)
				}
			}
		}
	}
}

// jsonFields lists the names of a type's JSON fields, and of those inside them.
func jsonFields(t reflect.Type) (names []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" {
			names = append(names, name)
		}
		if name != "" || f.Anonymous {
			names = append(names, jsonFields(f.Type)...)
		}
	}
	return names
}
