package content

import (
	"regexp"
	"strings"
)

var spdxLine = regexp.MustCompile(`SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+(?: (?:OR|AND|WITH) [A-Za-z0-9.+-]+)*)`)

// licences are words that stand in one licence and in none that comes later in
// the list; all of a line have to be there.
var licences = []struct {
	id    string
	words []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"AGPL-3.0", []string{"gnu affero general public license", "version 3"}},
	{"LGPL-3.0", []string{"gnu lesser general public license", "version 3"}},
	{"LGPL-2.1", []string{"gnu lesser general public license", "version 2.1"}},
	{"GPL-3.0", []string{"gnu general public license", "version 3"}},
	{"GPL-2.0", []string{"gnu general public license", "version 2"}},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}},
	{"EPL-2.0", []string{"eclipse public license", "2.0"}},
	{"CC-BY-NC-4.0", []string{"attribution-noncommercial 4.0"}},
	{"CC-BY-SA-4.0", []string{"attribution-sharealike 4.0"}},
	{"CC-BY-4.0", []string{"attribution 4.0 international"}},
	{"CC0-1.0", []string{"cc0 1.0 universal"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "the above copyright notice and this permission notice"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software"}},
	{"Unlicense", []string{"released into the public domain"}},
}

// licenceOf recognises a licence: by its SPDX line in any file, by its words in
// files that are named as licences are.
func licenceOf(src source, data []byte) string {
	head := string(data[:min(len(data), 32<<10)])
	if m := spdxLine.FindStringSubmatch(head); m != nil {
		return m[1]
	}
	base := strings.ToUpper(src.base())
	if !strings.HasPrefix(base, "LICEN") && !strings.HasPrefix(base, "COPYING") && !strings.HasPrefix(base, "NOTICE") {
		return ""
	}
	text := strings.Join(strings.Fields(strings.ToLower(head)), " ")
next:
	for _, l := range licences {
		for _, w := range l.words {
			if !strings.Contains(text, w) {
				continue next
			}
		}
		return l.id
	}
	return "unknown"
}
