package content

import (
	"bytes"
	"encoding/base64"
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
	s.encoded(src, f.Type, data)
	s.unicode(src, f.Type, data)
}

var longBase64 = regexp.MustCompile(`[A-Za-z0-9+/]{200,}`)

// encoded finds programs, archives and pickles that stand in a text as base64.
func (s *scanner) encoded(src source, kind string, data []byte) {
	if kind == "python" { // its string constants were looked at
		return
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		m := longBase64.Find(line)
		if len(m) == 0 { // lines of 64 or 76 characters
			continue
		}
		head := make([]byte, 96)
		if n, err := base64.StdEncoding.Decode(head, m[:128]); err != nil || n < 96 {
			continue
		}
		switch found := sniff(source{path: "x", size: int64(len(m))}, head); found {
		case "elf", "pe", "macho", "wasm", "zip", "gzip", "bzip2", "xz", "zstd", "7z", "pickle", "pyc":
			s.add(finding.New("obfuscated-literal", src.path, i+1, string(line[:min(len(line), 200)]), found+" as base64"))
		}
	}
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
		code := strings.TrimSpace(string(line))
		if strings.HasPrefix(code, "#") {
			continue
		}
		plain := unquoted.Replace(code)
		for _, r := range shellRules {
			if r.pattern.MatchString(code) || plain != code && r.pattern.MatchString(plain) {
				s.add(finding.New("shell-danger", src.path, first+i, string(line), r.what))
				break
			}
		}
	}
}

// unquoted makes curl and wget of c”url and w\get.
var unquoted = strings.NewReplacer(`''`, "", `""`, "", `\`, "")

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
