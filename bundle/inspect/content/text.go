package content

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"fx/bundle/inspect/finding"
	"fx/bundle/inspect/python"
)

// textFile looks at a text: by its kind, and for what any text may hide.
func (s *scanner) textFile(src source, f *File, data []byte) {
	if f.Type == "text" && s.oldPickle(src, f) {
		return
	}
	switch f.Type {
	case "python":
		s.python(src, data, 1)
	case "notebook":
		s.notebook(src, f, data)
	case "shell":
		s.report("shell", src, "")
		s.shell(src, data, 1)
	case "html":
		s.markup(src, data)
	case "yaml":
		s.yaml(src, data)
	case "json":
		if src.within == "keras" && src.base() == "config.json" {
			s.kerasConfig(src, data)
		} else {
			s.keras(src, data)
		}
	case "other code":
		f.Analysed = false
		s.skip(src, f, "code in another language than Python and shell: searched for secrets and hidden text alone")
	}
	if f.Licence = licenceOf(src, data); f.Licence != "" {
		s.detail("licence %s", f.Licence)
	}
	s.dependencies(src, f, data)
	s.secrets(src, data)
	s.unicode(src, f.Type, data)
}

func (s *scanner) python(src source, data []byte, line int) {
	r := python.AnalyseFrom(src.path, data, line)
	for _, f := range r.Findings {
		s.add(f)
	}
	if len(data) > python.MaxSource {
		s.skip(src, s.out, "Python larger than is read")
	}
	for _, i := range r.Imports {
		if len(s.out.Imports) < 500 {
			s.out.Imports = append(s.out.Imports, i)
		}
	}
}

// notebook analyses the code cells as one file each, and their shell lines.
func (s *scanner) notebook(src source, f *File, data []byte) {
	var book struct {
		Cells []struct {
			Type   string          `json:"cell_type"`
			Source json.RawMessage `json:"source"`
		} `json:"cells"`
	}
	if err := json.Unmarshal(data, &book); err != nil {
		s.skip(src, f, "a notebook that is not JSON")
		return
	}
	s.report("notebook", src, fmt.Sprintf("%d cells", len(book.Cells)))
	for i, cell := range book.Cells {
		if cell.Type != "code" {
			continue
		}
		var lines []string
		var text string
		if json.Unmarshal(cell.Source, &lines) == nil {
			text = strings.Join(lines, "")
		} else if json.Unmarshal(cell.Source, &text) != nil {
			s.skip(src, f, fmt.Sprintf("cell %d, whose source is not text", i+1))
			continue
		}
		in := source{path: fmt.Sprintf("%s!cell %d", src.path, i+1)}
		var code []string
		for n, line := range strings.Split(text, "\n") {
			switch trimmed := strings.TrimSpace(line); {
			case strings.HasPrefix(trimmed, "!") || strings.HasPrefix(trimmed, "%%bash") || strings.HasPrefix(trimmed, "%%sh") || strings.HasPrefix(trimmed, "%system"):
				s.add(finding.New("B605", in.path, n+1, line, "a shell line of the notebook"))
				s.shell(in, []byte(line), n+1)
				code = append(code, "")
			case strings.HasPrefix(trimmed, "%"):
				code = append(code, "")
			default:
				code = append(code, line)
			}
		}
		s.python(in, []byte(strings.Join(code, "\n")), 1)
	}
}

// shellRules are commands that a workspace has no reason for.
var shellRules = []struct {
	pattern *regexp.Regexp
	what    string
}{
	{regexp.MustCompile(`\b(curl|wget|fetch)\b[^|;&]*\|\s*(sudo\s+)?(\w*sh|python\d?|perl|ruby)\b`), "runs what it downloads"},
	{regexp.MustCompile(`\b(curl|wget|ncat|netcat|nc|telnet|ftp|sftp|scp|rsync|ssh|socat|nslookup|dig)\s+[^\s#]`), "talks to a network"},
	{regexp.MustCompile(`/dev/(tcp|udp)/`), "talks to a network"},
	{regexp.MustCompile(`\bbase64\s+(-d|-D|--decode)|\bxxd\s+-r|openssl\s+enc\b.*-d`), "decodes data"},
	{regexp.MustCompile(`(^|[;&|\s])eval\s`), "runs text as code"},
	{regexp.MustCompile(`\bcrontab\b|/etc/cron|systemctl\s+enable|\.bashrc|\.profile|authorized_keys|/etc/rc\.local|launchctl\s+load`), "makes something run later"},
	{regexp.MustCompile(`\brm\s+-\w*[rf]\w*\s+(-\w+\s+)*(/|~|\$HOME|\*)|\bmkfs\b|\bdd\s+.*of=/dev/|:\(\)\s*\{\s*:\|`), "destroys data"},
	{regexp.MustCompile(`(^|[;&|\s])sudo\s|\bchmod\s+[ugoa]*\+s|\bchmod\s+[0-7]*[4-7][0-7]{3}\b|\bsetcap\b|\bnsenter\b|\bunshare\b|\bdocker\s+run\b`), "takes more rights"},
	{regexp.MustCompile(`\b(pip3?|conda|apt-get|apt|npm|gem)\s+install\b`), "installs packages"},
	{regexp.MustCompile(`\b(cat|cp|tar|zip|less)\b.*(/etc/(passwd|shadow)|\.ssh|\.aws|id_rsa|/proc/\S+/environ)`), "reads keys or accounts"},
	{regexp.MustCompile(`\b(LD_PRELOAD|LD_LIBRARY_PATH|PYTHONSTARTUP|PYTHONPATH|DYLD_INSERT_LIBRARIES|PROMPT_COMMAND)=`), "changes what programs load"},
	{regexp.MustCompile(`\bhistory\s+-c\b|unset\s+HISTFILE|HISTFILE=/dev/null|\bshred\b`), "hides its traces"},
	{regexp.MustCompile(`(^|[;&|\s])(python\d?|perl|ruby|node|php)\s+-[ec]\s`), "runs text as code"},
}

func (s *scanner) shell(src source, data []byte, first int) {
	for i, line := range bytes.Split(data, []byte("\n")) {
		code := strings.TrimSpace(string(line[:min(len(line), 4096)]))
		if strings.HasPrefix(code, "#") {
			continue
		}
		plain := strings.NewReplacer(`''`, "", `""`, "", `\`, "").Replace(code) // c''url and w\get are curl and wget
		for _, r := range shellRules {
			if r.pattern.MatchString(code) || r.pattern.MatchString(plain) {
				s.add(finding.New("shell-danger", src.path, first+i, string(line), r.what))
				break
			}
		}
	}
}

var active = regexp.MustCompile(`(?i)<script\b|\bon(load|error|click|mouseover)\s*=|javascript:|<iframe\b|<object\b|<embed\b|<foreignObject\b|<!ENTITY\b`)

func (s *scanner) markup(src source, data []byte) {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if m := active.Find(line); m != nil {
			s.add(finding.New("active-content", src.path, i+1, string(line), string(m)))
		}
	}
}

var yamlObject = regexp.MustCompile(`!!python/|!<?tag:yaml\.org,2002:python/|!!(java|ruby)/|!!javax\.`)

func (s *scanner) yaml(src source, data []byte) {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if m := yamlObject.Find(line); m != nil && !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			s.add(finding.New("yaml-object", src.path, i+1, string(line), string(m)))
		}
	}
}
