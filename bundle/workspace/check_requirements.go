package workspace

import (
	"errors"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"fx/schema"
)

var (
	requirementName    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]|[A-Za-z0-9])(?:\s*\[[A-Za-z0-9._, -]*\])?\s*`)
	requirementVersion = regexp.MustCompile(`^\s*(===|==|~=|!=|<=|>=|<|>)\s*([A-Za-z0-9._*+!-]+)\s*$`)
	requirementComment = regexp.MustCompile(`(^|\s)#.*$`)
	requirementURL     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	requirementMarker  = regexp.MustCompile(`(===|==|~=|!=|<=|>=|<|>|\bin\b)`)
	normalized         = regexp.MustCompile(`[-_.]+`)
)

// requirements checks requirements.txt as pip reads it (PEP 508, and pip's own
// lines). Nothing is installed or looked up: what pip would fetch from elsewhere,
// or in another version tomorrow, is a warning.
func (f *Folder) requirements() {
	text, err := readLimited(f.root, requirementsFile, maxList)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(f.template("task_runner"), "src."):
		return
	case errors.Is(err, fs.ErrNotExist):
		finding := f.in(requirementsFile, "missing-file", 0, 0, "the file is not there: nobody knows which packages the code in src needs")
		finding.Hint = "write one name==version on each line"
		f.warn(finding)
		return
	case err != nil:
		f.add(f.in(requirementsFile, "unreadable", 0, 0, "%s", cause(err)))
		return
	case !utf8.Valid(text):
		f.add(f.in(requirementsFile, "not-text", 0, 0, "the document is not UTF-8 text"))
		return
	}
	first := map[string]int{}
	lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(string(text), "\uFEFF"), "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		number, line := i+1, requirementComment.ReplaceAllString(lines[i], "")
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + requirementComment.ReplaceAllString(lines[i], "")
		}
		column := 1 + len(line) - len(strings.TrimLeft(line, " \t"))
		if line = strings.TrimSpace(line); line != "" {
			f.requirement(line, number, column, first)
		}
	}
}

// requirement checks one line.
func (f *Folder) requirement(line string, number, column int, first map[string]int) {
	note := func(id, message, hint string) schema.Finding {
		finding := f.in(requirementsFile, id, number, column, "%s", message)
		finding.Found, finding.Hint = quoted(line), hint
		return finding
	}
	word, _, _ := strings.Cut(strings.ReplaceAll(line, "=", " "), " ")
	name := requirementName.FindStringSubmatch(line)
	switch {
	case word == "-e" || word == "--editable":
		f.warn(note("editable-requirement", "an editable install runs whatever lies at that place, not what was reviewed", "name a released version, or put the code into src"))
		return
	case strings.HasPrefix(line, "-"):
		f.warn(note("requirement-option", "an option for pip: what is installed depends on more than the names in this file", "leave it to each site's own pip configuration"))
		return
	case requirementURL.MatchString(line) || strings.HasPrefix(line, ".") || strings.HasPrefix(line, "/"),
		name != nil && strings.HasPrefix(line[len(name[0]):], "@"):
		f.warn(note("url-requirement", "the package comes from an address, not from the index: what is there can change", "name a released version: name==version"))
		return
	case name == nil:
		finding := note("requirement", "this is no requirement", "")
		finding.Allowed = "name==version"
		f.add(finding)
		return
	}
	key := strings.ToLower(normalized.ReplaceAllString(name[1], "-"))
	if first[key] > 0 {
		f.warn(note("duplicate-name", "the package is already on line "+strconv.Itoa(first[key]), "keep one of the lines"))
	} else {
		first[key] = number
	}
	rest, options, _ := strings.Cut(line[len(name[0]):], " --")
	versions, marker, marked := strings.Cut(rest, ";")
	pinned, ok := pins(versions)
	if !ok || marked && !condition(marker) {
		finding := note("requirement", "this is no requirement", "")
		finding.Allowed = `name==version, with other versions after a comma and conditions after a semicolon`
		if strings.Contains(versions, "=") && !strings.ContainsAny(versions, "<>~!") && !strings.Contains(versions, "==") {
			finding.Hint = "write two equals signs"
		}
		f.add(finding)
		return
	}
	if !pinned {
		f.warn(note("unpinned", "no single version is named: sites that install on different days run different code", "write "+name[1]+"==version"))
	} else if options != "" && !strings.HasPrefix(options, "hash=") {
		f.warn(note("requirement-option", "an option for pip: what is installed depends on more than the names in this file", "keep --hash only"))
	}
}

// condition reports whether text can be what follows the semicolon.
func condition(marker string) bool {
	return requirementMarker.MatchString(marker) && strings.Count(marker, `"`)%2 == 0 && strings.Count(marker, "'")%2 == 0
}

// pins reads version conditions; pinned if one of them leaves a single version.
func pins(versions string) (pinned, ok bool) {
	versions = strings.TrimSpace(versions)
	if inner, parens := strings.CutPrefix(versions, "("); parens {
		if versions, ok = strings.CutSuffix(inner, ")"); !ok {
			return false, false
		}
	}
	if versions == "" {
		return false, true
	}
	for _, v := range strings.Split(strings.TrimSuffix(versions, ","), ",") {
		m := requirementVersion.FindStringSubmatch(v)
		if m == nil {
			return false, false
		}
		pinned = pinned || m[1] == "===" || m[1] == "==" && !strings.Contains(m[2], "*")
	}
	return pinned, true
}
