package content

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"fx/bundle/inspect/finding"
)

// Dependency is a package that a file asks for.
type Dependency struct {
	Name    string // as PyPI compares names: lower case, hyphens
	Version string // the specifier, such as "==1.2"
	Pinned  bool   // to one version
	Hashed  bool   // to digests
	From    string // a URL, if it is not from an index
	Line    int
}

var (
	requirementsName = regexp.MustCompile(`(?i)^(.*[-_.])?(requirements|constraints)([-_.].*)?\.(txt|in)$`)
	requirement      = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(.*)$`)
	pinned           = regexp.MustCompile(`^\(?===?\s*[^,*\s]+\)?$`)
	quotedItem       = regexp.MustCompile(`["']([^"']+)["']`)
	tomlPair         = regexp.MustCompile(`^([A-Za-z0-9._-]+)\s*=\s*(.+)$`)
)

func isRequirements(src source) bool {
	return requirementsName.MatchString(src.base()) || strings.Contains(src.path, "requirements/") && src.ext() == ".txt"
}

// dependencies reads the files that name packages.
func (s *scanner) dependencies(src source, f *File, data []byte) {
	switch base := src.base(); {
	case isRequirements(src):
		s.requirements(src, f, data)
	case base == "pyproject.toml" || base == "Pipfile":
		s.pyproject(src, f, data)
	case base == "environment.yml" || base == "environment.yaml" || base == "conda.yml" || base == "conda.yaml":
		s.conda(src, f, data)
	}
}

func (s *scanner) requirements(src source, f *File, data []byte) {
	text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\\\n", "\x00")
	line := 1
	for raw := range strings.SplitSeq(text, "\n") {
		at := line
		line += 1 + strings.Count(raw, "\x00")
		raw = strings.ReplaceAll(raw, "\x00", " ")
		entry := strings.TrimSpace(raw)
		if i := strings.Index(entry, " #"); i >= 0 {
			entry = strings.TrimSpace(entry[:i])
		}
		if entry == "" || entry[0] == '#' {
			continue
		}
		s.requirementLine(src, f, entry, at)
	}
}

func (s *scanner) requirementLine(src source, f *File, entry string, line int) {
	report := func(rule, detail string) { s.add(finding.New(rule, src.path, line, entry, detail)) }
	option, rest, _ := strings.Cut(entry, " ")
	if o, v, ok := strings.Cut(option, "="); ok && strings.HasPrefix(o, "--") {
		option, rest = o, v
	}
	switch option {
	case "--index-url", "-i", "--extra-index-url", "--find-links", "-f", "--trusted-host":
		report("dep-index", option+" "+strings.TrimSpace(rest))
		return
	case "-r", "-c", "--requirement", "--constraint":
		if strings.Contains(rest, "://") {
			report("dep-url", rest)
		}
		return
	case "-e", "--editable":
		report("dep-url", rest)
		return
	}
	if strings.HasPrefix(option, "-") {
		return
	}
	spec, _, _ := strings.Cut(entry, ";")
	hashed := strings.Contains(entry, "--hash=")
	spec, _, _ = strings.Cut(spec, "--hash")
	if url := strings.Index(spec, "://"); url >= 0 || strings.HasPrefix(spec, "git+") {
		name, from, ok := strings.Cut(spec, "@")
		if !ok || strings.Contains(name, ":") {
			name, from = "", spec
		}
		report("dep-url", strings.TrimSpace(from))
		s.depend(f, Dependency{Name: normal(name), From: strings.TrimSpace(from), Hashed: strings.Contains(entry, "#sha256="), Line: line})
		return
	}
	m := requirement.FindStringSubmatch(strings.TrimSpace(spec))
	if m == nil {
		return
	}
	s.dependency(src, f, Dependency{Name: normal(m[1]), Version: strings.TrimSpace(m[2]), Pinned: pinned.MatchString(strings.TrimSpace(m[2])), Hashed: hashed, Line: line}, entry)
}

func normal(name string) string {
	return strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(strings.TrimSpace(name), "-"))
}

func (s *scanner) depend(f *File, d Dependency) {
	d.Name, d.Version, d.From = finding.Clean(d.Name), finding.Clean(d.Version), finding.Clean(d.From)
	if len(f.Dependencies) < 2000 {
		f.Dependencies = append(f.Dependencies, d)
	}
}

// dependency reports what is to say of one package.
func (s *scanner) dependency(src source, f *File, d Dependency, code string) {
	s.depend(f, d)
	report := func(rule, detail string) { s.add(finding.New(rule, src.path, d.Line, code, detail)) }
	if !d.Pinned {
		report("dep-unpinned", d.Name)
	} else if !d.Hashed {
		report("dep-unhashed", d.Name)
	}
	if known := typoOf(d.Name); known != "" {
		report("dep-typo", fmt.Sprintf("%s, not %s", d.Name, known))
	}
}

// pyproject reads the lists and tables of dependencies, line by line: quoted
// requirements in lists that are named so, and pairs in Poetry's tables.
func (s *scanner) pyproject(src source, f *File, data []byte) {
	section, list := "", false
	for i, raw := range bytes.Split(data, []byte("\n")) {
		line := strings.TrimSpace(string(raw))
		if strings.HasPrefix(line, "[") && !list {
			section = strings.Trim(line, "[] ")
			continue
		}
		m := tomlPair.FindStringSubmatch(line)
		inTable := strings.HasSuffix(section, "dependencies") && section != "project" || section == "packages" || section == "dev-packages"
		switch {
		case list || m != nil && strings.HasPrefix(m[2], "[") && (strings.HasSuffix(m[1], "dependencies") || m[1] == "requires" || strings.Contains(section, "optional-dependencies") || section == "dependency-groups"):
			for _, q := range quotedItem.FindAllStringSubmatch(line, -1) {
				s.requirementLine(src, f, q[1], i+1)
			}
			list = !strings.Contains(line, "]") || strings.Contains(line, "[") && strings.Count(line, "[") > strings.Count(line, "]")
		case m != nil && inTable && m[1] != "python" && m[1] != "python_version":
			s.tablePair(src, f, m[1], m[2], i+1, line)
		case m != nil && (m[1] == "url" && strings.Contains(section, "source") || m[1] == "backend-path"):
			rule := "dep-index"
			if m[1] == "backend-path" {
				rule = "setup-code"
			}
			s.add(finding.New(rule, src.path, i+1, line, m[1]))
		}
	}
}

func (s *scanner) tablePair(src source, f *File, name, value string, n int, line string) {
	for _, key := range []string{"git", "url", "path", "file"} {
		if regexp.MustCompile(`\b` + key + `\s*=`).MatchString(value) {
			s.add(finding.New("dep-url", src.path, n, line, name))
			s.depend(f, Dependency{Name: normal(name), From: value, Line: n})
			return
		}
	}
	version := strings.Trim(value, `"' `)
	s.dependency(src, f, Dependency{Name: normal(name), Version: version, Pinned: pinned.MatchString(version), Line: n}, line)
}

// conda reads an environment file: its channels, its packages and those of pip.
func (s *scanner) conda(src source, f *File, data []byte) {
	section, pip := "", false
	for i, raw := range bytes.Split(data, []byte("\n")) {
		line := strings.TrimSpace(string(raw))
		item, isItem := strings.CutPrefix(line, "- ")
		item = strings.Trim(item, `"' `)
		switch {
		case !isItem && strings.HasSuffix(line, ":"):
			section, pip = strings.TrimSuffix(line, ":"), false
		case isItem && item == "pip:":
			pip = true
		case isItem && section == "channels":
			if strings.Contains(item, "://") {
				s.add(finding.New("dep-index", src.path, i+1, line, item))
			}
		case isItem && pip:
			s.requirementLine(src, f, item, i+1)
		case isItem && section == "dependencies":
			if m := requirement.FindStringSubmatch(item); m != nil && m[1] != "python" {
				s.dependency(src, f, Dependency{Name: normal(m[1]), Version: m[2], Pinned: regexp.MustCompile(`^=+[^*]+$`).MatchString(m[2]), Line: i + 1}, line)
			}
		}
	}
}
